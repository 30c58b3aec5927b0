//! What a client of a model of texts holds before it connects: the tokenizer, and the public tables that make rows of its words.
//!
//! Server and client each have the files; the server's card has their hash, so that a client whose files are another model's
//! is told so and sends nothing. The server cannot make a client read files of its choice.

use std::{fs, path::Path};

use sotto_import::{
    Tokenizer,
    tokenizer::{FILE, Long},
};
use sotto_models::{
    Model, Weights,
    calibration::hex,
    files,
    text::{Text, rows},
    weights::Precision,
};

use crate::error::Error;

/// The public tables' file.
const TABLES: &str = "tables.safetensors";

/// Tokenizer and public tables of one model.
pub struct Lexicon {
    model: Model,
    tokenizer: Tokenizer,
    tables: Weights,
}

impl Lexicon {
    /// Reads a client's folder: arch.toml, tokenizer.json and tables.safetensors, as [`Lexicon::save`] writes it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Model`] and [`Error::Import`] for files that are none, or do not fit each other.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("arch.toml");
        let model = Model::from_toml(&files::text(&path)?)?;
        let tokenizer = Tokenizer::load(&folder.join(FILE), &model)?;
        let tables = Weights::load_public(&folder.join(TABLES), &model)?;
        Ok(Self { model, tokenizer, tables })
    }

    /// Refuses a card's hash of its lexicon and description of its model that are not of this lexicon: results would be of other
    /// words.
    ///
    /// # Errors
    /// [`Error::Config`], which names the peer whose card it is.
    pub fn check(&self, theirs: Option<&[u8; 32]>, arch: &str, peer: &str) -> Result<(), Error> {
        // The hash is what the server says; the description is what it has us evaluate.
        let same = || Model::from_toml(arch).is_ok_and(|model| model == self.model);
        if theirs == Some(&self.hash()) && same() {
            return Ok(());
        }
        let of = theirs.map_or("none".to_owned(), |hash| hex(hash));
        Err(Error::Config(format!(
            "`lexicon` ({}) is not that of the model of {peer} ({of}): get the folder that `sotto lexicon` writes of it there",
            hex(&self.hash())
        )))
    }

    /// That of a whole model in `folder`.
    ///
    /// # Errors
    /// [`Error::Import`] for a tokenizer that is none, or another model's.
    pub fn of(folder: &Path, model: &Model, weights: &Weights) -> Result<Self, Error> {
        let tokenizer = Tokenizer::load(&folder.join(FILE), model)?;
        Ok(Self { model: model.clone(), tokenizer, tables: weights.public(model) })
    }

    /// Writes a client's folder; `from` is the model's, whose tokenizer is copied as it is.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Model`].
    pub fn save(&self, from: &Path, out: &Path) -> Result<(), Error> {
        fs::create_dir_all(out).map_err(Error::io(out))?;
        let path = out.join("arch.toml");
        fs::write(&path, self.model.to_toml()).map_err(Error::io(&path))?;
        fs::copy(from.join(FILE), out.join(FILE)).map_err(Error::io(&out.join(FILE)))?;
        Ok(self.tables.save(&out.join(TABLES), Precision::F32)?)
    }

    /// A hash of all that decides which numbers a text becomes.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("sottovoce 2026 lexicon v1");
        hasher
            .update(&self.tokenizer.hash())
            .update(&self.tables.hash())
            .update(&self.model.hash());
        *hasher.finalize().as_bytes()
    }

    /// The model's description.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Numbers the words of a text, or of a pair of texts.
    ///
    /// # Errors
    /// [`Error::Import`] for a text that the model does not take.
    pub fn encode(&self, text: &str, pair: Option<&str>, long: Long) -> Result<Text, Error> {
        Ok(self.tokenizer.encode(text, pair, long)?)
    }

    /// What enters the model: a row for each word.
    ///
    /// # Errors
    /// [`Error::Model`] for words that the model does not have.
    pub fn rows(&self, text: &Text) -> Result<Vec<f32>, Error> {
        Ok(rows(&self.model, &self.tables, text)?)
    }

    /// The words of a text as the tokenizer spells them.
    pub fn words(&self, text: &Text) -> Vec<String> {
        let word = |n: &u32| self.tokenizer.word(*n).unwrap_or_else(|| format!("#{n}"));
        text.words.iter().map(word).collect()
    }
}
