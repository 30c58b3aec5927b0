//! Importers: a folder of Hugging Face becomes a folder that the project reads: `arch.toml`, `weights.safetensors`, and
//! `tokenizer.json` or `picture.toml`. Also the [`Tokenizer`], which a client has.
//!
//! A family of models (BERT, ViT, ..) is one file with a table of names and a function of its `config.json`. Nothing that the
//! config does not say is guessed: a field that would change the computation is read or refused, and every tensor of the
//! checkpoint is used, known to be of no use, or listed in an error.
//!
//! # Example
//! ```no_run
//! use sotto_import::{Choices, import};
//!
//! let imported = import("all-MiniLM-L6-v2".as_ref(), &Choices::default(), &mut |_, _| ())?;
//! println!("{}: {} parameters", imported.report.family, imported.report.parameters);
//! imported.save("model".as_ref())?;
//! # Ok::<(), sotto_import::Error>(())
//! ```

mod checkpoint;
mod config;
mod error;
mod family;
mod folder;
mod given;
mod labels;
mod picture;
mod recipe;
mod resize;
mod sentence;
mod stack;
mod text;
pub mod tokenizer;
mod vision;

use std::{fs, fs::Permissions, os::unix::fs::PermissionsExt, path::Path};

use half::f16;
use serde::Serialize;
use sotto_models::{Model, Weights, images::FRAMING, model::Input, weights::Precision};
use tempfile::Builder;

pub use error::Error;
pub use family::supported;
pub use given::Choices;
pub use picture::{Filter, Framing, Scale};
pub use tokenizer::Tokenizer;

use checkpoint::Checkpoint;
use config::Config;
use folder::Folder;
use given::Given;
use recipe::Filled;
use sentence::Sentence;

/// A model that was imported.
#[derive(Debug)]
pub struct Imported {
    /// What it is.
    pub model: Model,
    /// Its weights under our names.
    pub weights: Weights,
    /// Its tokenizer's file, of a model of words.
    pub tokenizer: Option<Vec<u8>>,
    /// How pictures become the model's, of a model of pictures.
    pub framing: Option<Framing>,
    /// What was found.
    pub report: Report,
}

/// What an import found, for the owner to read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The family.
    pub family: &'static str,
    /// Numbers in the model.
    pub parameters: usize,
    /// Files of the checkpoint.
    pub files: Vec<String>,
    /// Whether every number fits half precision, in which they are then saved.
    pub half: bool,
    /// Tensors that the model has no use for, and how many numbers they hold.
    pub skipped: Vec<(String, usize)>,
    /// BLAKE3 of the tokenizer's file in hexadecimal.
    pub tokenizer: Option<String>,
    /// What else the owner should know.
    pub notes: Vec<String>,
}

/// Reads a folder of Hugging Face: `config.json`, `model.safetensors` or its shards, and what else belongs to the family
/// (`tokenizer.json`, `preprocessor_config.json`, `modules.json`). `progress` is called with the number of tensors that were
/// read and of all, before each and at the end.
///
/// Memory: the weights once, as float32; tensors are read one by one.
///
/// # Errors
/// [`Error`] says which file, field or tensor is wrong, what it holds, what is accepted, and what to do. Nothing is
/// allocated for a tensor before all names, shapes and types are known to fit.
pub fn import(
    path: &Path,
    choices: &Choices,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Imported, Error> {
    let outer = Folder::open(path)?;
    let sentence = Sentence::read(&outer)?;
    let inner = match &sentence {
        Some(s) if !s.encoder.is_empty() => Some(outer.within(&s.encoder)?),
        _ => None,
    };
    let folder = inner.as_ref().unwrap_or(&outer);
    let Some(config) = Config::read(folder, "config.json")? else {
        return Err(Error::file("config.json", "is not in the folder; it says what the model is"));
    };
    let checkpoint = Checkpoint::open(folder)?;
    let lower = sentence.as_ref().is_some_and(|s| s.lower);
    let folder_name = outer.name();
    let given =
        Given { folder, config: &config, checkpoint: &checkpoint, sentence, choices, folder_name };
    let (family, recipe) = family::recipe(&given)?;
    let Filled { values, skipped } = recipe.fill(&checkpoint, progress)?;
    let (model, notes) = (recipe.model, recipe.notes);
    let tokenizer = match &model.input {
        Input::Words(_) => Some(tokenizer::of(folder, &model, lower)?),
        _ => None,
    };
    let half = values.values().flatten().all(|&x| f16::from_f32(x).to_f32() == x);
    let report = Report {
        family,
        parameters: model.parameters(),
        files: checkpoint.files(),
        half,
        skipped: skipped.iter().map(|n| (n.clone(), checkpoint.count(n))).collect(),
        tokenizer: tokenizer.as_ref().map(|t| t.1.clone()),
        notes,
    };
    let weights = Weights::from_values(&model, values)?;
    let tokenizer = tokenizer.map(|t| t.0);
    Ok(Imported { model, weights, tokenizer, framing: recipe.framing, report })
}

impl Imported {
    /// Writes the model's folder: `arch.toml`, `weights.safetensors` (f16 where that holds every number, else f32), and
    /// `tokenizer.json` or `picture.toml`. It is there whole or not at all: all is written into a fresh folder beside it, which
    /// then takes its name.
    ///
    /// # Errors
    /// [`Error::File`] where `out` is there and no empty folder, [`Error::Io`].
    pub fn save(&self, out: &Path) -> Result<(), Error> {
        // Not what a link leads to: the link itself is there.
        let there = out.symlink_metadata().ok();
        let empty = |out: &Path| out.read_dir().is_ok_and(|mut files| files.next().is_none());
        if there.is_some_and(|there| !there.is_dir() || !empty(out)) {
            let why = "is there and not empty, or no folder; give another folder, or remove it";
            return Err(Error::file(out.display().to_string(), why));
        }
        let beside = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(".".as_ref());
        fs::create_dir_all(beside).map_err(Error::io(beside))?;
        // As open to others as a folder that is made in the ordinary way, not to the user alone.
        let mode = Permissions::from_mode(0o777);
        let folder = Builder::new().prefix(".sotto-import-").permissions(mode).tempdir_in(beside);
        let folder = folder.map_err(Error::io(beside))?;
        let part = folder.path();
        let write = |name: &str, bytes: &[u8]| {
            let path = part.join(name);
            fs::write(&path, bytes).map_err(Error::io(&path))
        };
        write("arch.toml", self.model.to_toml().as_bytes())?;
        let precision = if self.report.half { Precision::F16 } else { Precision::F32 };
        self.weights.save(&part.join("weights.safetensors"), precision)?;
        if let Some(bytes) = &self.tokenizer {
            write(tokenizer::FILE, bytes)?;
        }
        if let Some(framing) = &self.framing {
            let text = toml::to_string(framing).expect("numbers and names always serialise");
            write(FRAMING, text.as_bytes())?;
        }
        // Takes the place of an empty folder, and of nothing else.
        fs::rename(part, out).map_err(Error::io(out))?;
        let _moved = folder.keep();
        Ok(())
    }
}
