//! The description's file and its hash.

use serde::{Deserialize, Serialize};

use super::{Input, Model, Output, Stack};
use crate::{Arch, Error};

/// Longest architecture file that is parsed, in bytes.
const MAX_TEXT: usize = 4 << 20;

/// The version of a file, whatever else it holds.
#[derive(Deserialize)]
struct Version {
    version: Option<i64>,
}

/// A file of version 2.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: i64,
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    input: Input,
    stack: Stack,
    output: Output,
}

impl Model {
    /// Reads an architecture file and checks it. A file without a version is of version 1 ([`Arch::from_toml`]).
    ///
    /// # Errors
    /// [`Error::ArchSyntax`] for text that is not the TOML we expect (it names unknown, missing and ill-typed fields),
    /// [`Error::Arch`] for values out of bounds.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            let why = format!("{} bytes are more than {MAX_TEXT}", text.len());
            return Err(Error::ArchSyntax(why));
        }
        let syntax = |e: toml::de::Error| Error::ArchSyntax(e.to_string());
        match toml::from_str::<Version>(text).map_err(syntax)?.version {
            None => Ok(Model::from(&Arch::from_toml(text)?)),
            Some(2) => {
                let file: File = toml::from_str(text).map_err(syntax)?;
                let File { version: _, name, labels, input, stack, output } = file;
                let model = Model { name, labels, input, stack, output };
                model.validate()?;
                Ok(model)
            }
            Some(other) => {
                let why = format!("is {other}; accepted: 2, or none at all for version 1");
                Err(Error::arch("version", why))
            }
        }
    }

    /// Writes an architecture file of version 2, which [`Model::from_toml`] reads back unchanged.
    pub fn to_toml(&self) -> String {
        let Model { name, labels, input, stack, output } = self.clone();
        let file = File { version: 2, name, labels, input, stack, output };
        toml::to_string(&file).expect("numbers, strings and lists of them always serialise")
    }

    /// BLAKE3 of the description, by which parties agree on a model.
    ///
    /// It is taken of the file's text, which is canonical: fields have one order, numbers, strings and kinds one spelling.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("sottovoce 2026 model v2", self.to_toml().as_bytes())
    }
}
