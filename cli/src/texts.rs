//! The texts that a command is given: a file with one on each line.

use std::{fs, path::Path};

use sotto_import::{Tokenizer, tokenizer::Long};
use sotto_models::{Model, Weights, text::rows};

use crate::error::Error;

/// Longest file of texts that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// Texts, or pairs of texts.
pub struct Texts(Vec<(String, Option<String>)>);

impl Texts {
    /// Reads a file: one text a line, or two with a tab between them where `pairs` says so. Empty lines are left out; at
    /// most `limit` texts are taken.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Config`] for a file that is too long or holds no text, and for a line without its tab.
    pub fn read(path: &Path, pairs: bool, limit: usize) -> Result<Self, Error> {
        let size = fs::metadata(path).map_err(Error::io(path))?.len();
        let refuse = |why: String| Err(Error::Config(format!("{}: {why}", path.display())));
        if size > MAX_FILE {
            return refuse(format!("has {size} bytes; at most {MAX_FILE} are read"));
        }
        let file = fs::read_to_string(path).map_err(Error::io(path))?;
        let lines = (1..).zip(file.lines()).filter(|(_, line)| !line.trim().is_empty());
        let mut texts = Vec::new();
        for (number, line) in lines.take(limit) {
            texts.push(match (pairs, line.split_once('\t')) {
                (false, _) => (line.to_owned(), None),
                (true, Some((a, b))) => (a.to_owned(), Some(b.to_owned())),
                (true, None) => {
                    return refuse(format!(
                        "line {number} has no tab, which parts the texts of a pair"
                    ));
                }
            });
        }
        if texts.is_empty() {
            return refuse("holds no text; accepted: one on each line".into());
        }
        Ok(Texts(texts))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What enters the model for each: its words' rows.
    ///
    /// # Errors
    /// [`Error::Text`] names the text, by its number among all, that the model does not take.
    pub fn rows(
        &self,
        model: &Model,
        weights: &Weights,
        tokenizer: &Tokenizer,
        long: Long,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let each = |(i, (text, pair)): (usize, &(String, Option<String>))| {
            let wrong = |why: String| Error::Text { number: i + 1, why };
            let text = tokenizer.encode(text, pair.as_deref(), long);
            let text = text.map_err(|e| wrong(e.to_string()))?;
            rows(model, weights, &text).map_err(|e| wrong(e.to_string()))
        };
        self.0.iter().enumerate().map(each).collect()
    }
}
