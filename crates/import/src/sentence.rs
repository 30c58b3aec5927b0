//! What the files of sentence-transformers say: where the encoder is, how its rows are pooled, how long a text may be.

use serde_json::Value;
use sotto_models::model::Pool;

use crate::{
    config::Config,
    error::{Error, shown},
    folder::Folder,
};

const MODULES: &str = "modules.json";

/// A folder of sentence-transformers.
pub(crate) struct Sentence {
    /// The folder of the encoder within it; empty where they are the same.
    pub encoder: String,
    pub pool: Pool,
    /// Whether the embedding has length 1.
    pub normalise: bool,
    /// Most words of a text, where a file limits them.
    pub positions: Option<usize>,
    /// Whether texts are made lower case before the tokenizer sees them.
    pub lower: bool,
}

impl Sentence {
    /// Reads `modules.json` and the files that it names; `None` where it is not there.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Field`] for modules other than an encoder, a pooling by mean or by the first word, and a
    /// normalisation, in this order.
    pub fn read(folder: &Folder) -> Result<Option<Self>, Error> {
        let Some(bytes) = folder.read(MODULES, 1 << 20)? else { return Ok(None) };
        let modules: Vec<Value> = serde_json::from_slice(&bytes)
            .map_err(|e| Error::file(MODULES, format!("is no list of modules: {e}")))?;
        let text =
            |module: &Value, field: &str| module[field].as_str().unwrap_or_default().to_owned();
        let kinds: Vec<(String, String)> = modules
            .iter()
            .map(|m| {
                let class = text(m, "type");
                (class.rsplit('.').next().unwrap_or_default().to_owned(), text(m, "path"))
            })
            .collect();
        let names: Vec<&str> = kinds.iter().map(|(kind, _)| &kind[..]).collect();
        let normalise = match names[..] {
            ["Transformer", "Pooling"] => false,
            ["Transformer", "Pooling", "Normalize"] => true,
            _ => {
                let found = shown(&names.join(", "));
                let why = format!(
                    "lists {found}; accepted: Transformer, Pooling, then Normalize or nothing"
                );
                return Err(Error::file(MODULES, why));
            }
        };
        let (encoder, pooling) = (kinds[0].1.clone(), &kinds[1].1);
        let pool = pool(folder, &within(pooling, "config.json"))?;
        let limits = within(&encoder, "sentence_bert_config.json");
        let (positions, lower) = match Config::read(folder, &limits)? {
            None => (None, false),
            Some(config) => {
                let limit = config.value("max_seq_length").map(|_| config.size("max_seq_length"));
                (limit.transpose()?, config.flag_or("do_lower_case", false)?)
            }
        };
        Ok(Some(Sentence { encoder, pool, normalise, positions, lower }))
    }
}

/// A file in a folder within ours.
fn within(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

fn pool(folder: &Folder, file: &str) -> Result<Pool, Error> {
    let Some(config) = Config::read(folder, file)? else {
        return Err(Error::file(
            shown(file),
            format!("is not in the folder, but {MODULES} names it"),
        ));
    };
    let modes = [
        "pooling_mode_cls_token",
        "pooling_mode_mean_tokens",
        "pooling_mode_max_tokens",
        "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens",
        "pooling_mode_lasttoken",
    ];
    let mut chosen = Vec::new();
    for mode in modes {
        if config.flag_or(mode, false)? {
            chosen.push(mode);
        }
    }
    if let Some(mode) = config.text("pooling_mode")? {
        chosen.push(mode);
    }
    match chosen[..] {
        ["pooling_mode_cls_token" | "cls"] => Ok(Pool::First),
        ["pooling_mode_mean_tokens" | "mean"] => Ok(Pool::Mean),
        _ => {
            let found =
                if chosen.is_empty() { "nothing".to_owned() } else { shown(&chosen.join(" and ")) };
            let why = format!(
                "asks for {found}; accepted: pooling_mode_mean_tokens or pooling_mode_cls_token alone"
            );
            Err(Error::file(shown(file), why))
        }
    }
}
