//! What a family's file is given: the folder's files, opened, and what the owner chose.

use sotto_models::model::Pool;

use crate::{checkpoint::Checkpoint, config::Config, folder::Folder, sentence::Sentence};

/// What the owner may choose.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// What the model is called; otherwise as its folder.
    pub name: Option<String>,
    /// The result is an embedding pooled so, whatever head the checkpoint has.
    pub embedding: Option<Pool>,
}

pub(crate) struct Given<'a> {
    pub folder: &'a Folder,
    /// config.json
    pub config: &'a Config,
    pub checkpoint: &'a Checkpoint,
    /// What the files of sentence-transformers say, where they are there.
    pub sentence: Option<Sentence>,
    pub choices: &'a Choices,
    /// What the folder is called.
    pub folder_name: String,
}

impl Given<'_> {
    /// The first of `prefixes` under which the checkpoint has `tensor`; the last where none has it.
    pub fn prefix(&self, prefixes: &[&'static str], tensor: &str) -> &'static str {
        let has = |p: &&&str| self.checkpoint.has(&format!("{p}{tensor}"));
        prefixes.iter().find(has).or(prefixes.last()).copied().unwrap_or_default()
    }

    /// The model's name: as chosen, or as its folder, of plain characters.
    pub fn name(&self) -> String {
        let name = self.choices.name.as_ref().unwrap_or(&self.folder_name);
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '-' };
        let name: String = name.chars().map(plain).take(64).collect();
        if name.is_empty() { "model".to_owned() } else { name }
    }
}
