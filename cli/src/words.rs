//! `sotto lexicon`: what a client of a model of texts needs.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use sotto_models::calibration::hex;

use crate::{error::Error, model::Model, print};

/// What `sotto lexicon` is told.
#[derive(Args)]
pub struct Lexicon {
    /// The model's folder.
    model: PathBuf,
    /// Folder to write.
    #[arg(long)]
    out: PathBuf,
    /// The folder and its hash as JSON.
    #[arg(long)]
    json: bool,
}

/// The JSON object.
#[derive(Serialize)]
struct Written<'a> {
    model: &'a str,
    out: String,
    /// What a client's `lexicon_hash` insists on.
    lexicon_hash: String,
}

impl Lexicon {
    /// Writes the folder and prints its hash.
    ///
    /// # Errors
    /// [`Error::Config`] for a model of pictures; those of [`Model::find`]; [`Error::Io`].
    pub fn run(&self) -> Result<(), Error> {
        let found = Model::find(&self.model)?;
        let model = &found.arch.name;
        let lexicon = found.lexicon.ok_or_else(|| {
            Error::Config(format!("`{model}` takes pictures: a client needs no files"))
        })?;
        lexicon.save(&self.model, &self.out)?;
        let (out, lexicon_hash) = (self.out.display().to_string(), hex(&lexicon.hash()));
        match self.json {
            true => print::json(&Written { model, out, lexicon_hash }),
            false => print::line(format!("{out}: {lexicon_hash}")),
        }
    }
}
