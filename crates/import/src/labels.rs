//! Names of classes, from `id2label`.

use serde_json::Value;

use crate::{config::Config, error::Error};

/// The names of `classes` classes: none where the file has none or gives them numbers only. The note says where it names
/// another number of classes than the checkpoint has.
///
/// # Errors
/// [`Error::Field`] where the field is no object of texts.
pub(crate) fn labels(
    config: &Config,
    field: &str,
    classes: usize,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Error> {
    let names: Vec<&Value> = match config.value(field) {
        None => return Ok(Vec::new()),
        // By number: an object's keys are texts.
        Some(Value::Object(all)) => (0..all.len()).map_while(|i| all.get(&i.to_string())).collect(),
        Some(Value::Array(all)) => all.iter().collect(),
        Some(_) => return Err(config.other(field, "an object of names by number")),
    };
    let texts = names.iter().map_while(|v| v.as_str()).map(str::to_owned).collect::<Vec<_>>();
    if texts.len() != names.len() {
        return Err(config.refuse(field, "holds what is no text; accepted: names by number"));
    }
    if texts.len() != classes {
        let n = texts.len();
        notes.push(format!("`{field}` names {n} classes, the checkpoint has {classes}: no names"));
        return Ok(Vec::new());
    }
    if texts.iter().enumerate().all(|(i, t)| *t == format!("LABEL_{i}")) {
        return Ok(Vec::new());
    }
    Ok(texts)
}
