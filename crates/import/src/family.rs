//! The families of models that we import, one file each: a table of names and a function of its config.

mod albert;
mod bert;
mod deit;
mod dinov2;
mod distilbert;
mod roberta;
mod timm;
mod vit;

use crate::{error::Error, given::Given, recipe::Recipe};

type Reader = fn(&Given<'_>) -> Result<Recipe, Error>;

/// Families by `model_type`.
const FAMILIES: [(&str, Reader); 10] = [
    ("bert", bert::recipe),
    ("roberta", roberta::recipe),
    ("xlm-roberta", roberta::recipe),
    ("camembert", roberta::recipe),
    ("distilbert", distilbert::recipe),
    ("albert", albert::recipe),
    ("vit", vit::recipe),
    ("deit", deit::recipe),
    ("dinov2", dinov2::recipe),
    ("dinov2_with_registers", dinov2::recipe),
];

/// The family's name, and what it makes of the folder.
///
/// # Errors
/// [`Error::Field`] for a family that we do not have, and whatever the family refuses.
pub(crate) fn recipe(given: &Given<'_>) -> Result<(&'static str, Recipe), Error> {
    let config = given.config;
    let Some(kind) = config.text("model_type")? else {
        if config.value("architecture").is_some() {
            return Ok(("timm", timm::recipe(given)?));
        }
        return Err(config.other("model_type", &supported()));
    };
    match FAMILIES.iter().find(|(name, _)| *name == kind) {
        Some((name, recipe)) => Ok((name, recipe(given)?)),
        None => Err(config.other("model_type", &supported())),
    }
}

/// The names of the families, for a message.
pub fn supported() -> String {
    let names: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
    format!("{}; timm (by `architecture`)", names.join(", "))
}
