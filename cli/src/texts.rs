//! The texts that a command is given: by themselves, or a file with one on each line.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use sotto_import::tokenizer::Long;
use sotto_models::private::Lengths;
use sotto_net::printable;

use crate::{client::Query, error::Error, inputs::Unread, lexicon::Lexicon};

/// Longest file of texts that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// Characters of a text by which it is called.
const NAME: usize = 32;

/// Texts as a command line has them.
#[derive(Args, Clone, Default)]
pub struct TextArgs {
    /// A text; as often as you like.
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
    /// What makes a pair of the text before; as often as --text.
    #[arg(long, value_name = "TEXT", requires = "text")]
    pair: Vec<String>,
    /// A file with a text on each line.
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Each line of --file has two texts with a tab between them.
    #[arg(long, requires = "file")]
    pairs: bool,
    /// Leave out the end of a text that is longer than the model takes.
    #[arg(long)]
    truncate: bool,
}

impl TextArgs {
    /// Whether there are texts.
    pub fn are_given(&self) -> bool {
        !self.text.is_empty() || self.file.is_some()
    }

    /// What becomes of a text that is too long.
    pub fn long(&self) -> Long {
        if self.truncate { Long::Truncate } else { Long::Refuse }
    }

    /// The texts, at most `limit`.
    ///
    /// # Errors
    /// As [`Texts::read`]; [`Error::Config`] for a text without its pair.
    pub fn read(&self, limit: usize) -> Result<Texts, Error> {
        if let Some(file) = &self.file {
            let texts = Texts::read(file, self.pairs, limit)?;
            without_gaps(file)?;
            return Ok(texts);
        }
        let (texts, pairs) = (self.text.len(), self.pair.len());
        if pairs != 0 && pairs != texts {
            let why = format!("{texts} of --text and {pairs} of --pair; give as many of both");
            return Err(Error::Config(why));
        }
        let pair = |i: usize| self.pair.get(i).cloned();
        let all = self.text.iter().enumerate().map(|(i, text)| (text.clone(), pair(i)));
        Ok(Texts(all.take(limit).collect()))
    }

    /// The arguments again, for another process.
    pub fn arguments(&self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for (option, texts) in [("--text", &self.text), ("--pair", &self.pair)] {
            all.extend(texts.iter().map(|text| format!("{option}={text}")));
        }
        if let Some(file) = &self.file {
            let file = file.canonicalize().map_err(Error::io(file))?;
            all.extend(["--file".into(), file.display().to_string()]);
        }
        let flags = [("--pairs", self.pairs), ("--truncate", self.truncate)];
        all.extend(flags.iter().filter(|(_, given)| *given).map(|(flag, _)| flag.to_string()));
        Ok(all)
    }
}

/// Texts, or pairs of texts.
pub struct Texts(Vec<(String, Option<String>)>);

/// Refuses a file with an empty line before its last text: results are told apart by their lines.
fn without_gaps(path: &Path) -> Result<(), Error> {
    let file = fs::read_to_string(path).map_err(Error::io(path))?;
    match file.trim_end().lines().position(|line| line.trim().is_empty()) {
        None => Ok(()),
        Some(at) => Err(Error::Config(format!(
            "{}: line {} is empty, and results are told by their lines; take it out",
            path.display(),
            at + 1
        ))),
    }
}

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

    /// Each text as the model's tokenizer numbers it, of a length that is public or hidden; or why the model does not take it.
    pub fn queries(
        &self,
        lexicon: &Lexicon,
        long: Long,
        lengths: Lengths,
    ) -> Vec<Result<Query, Unread>> {
        let each = |(number, (text, pair)): (usize, &(String, Option<String>))| {
            let name = format!("{number}: {}", printable(text, NAME));
            let text = lexicon.encode(text, pair.as_deref(), long);
            let most = lexicon.model().tokens();
            match text.and_then(|text| Ok((lengths.of(text.words.len(), most)?, text))) {
                Ok((length, text)) => Ok(Query::Text { name, text, length }),
                Err(e) => Err(Unread { error: Error::text(number, &e).to_string(), name }),
            }
        };
        (1..).zip(&self.0).map(each).collect()
    }

    /// What enters the model for each: its words' rows.
    ///
    /// # Errors
    /// [`Error::Text`] names the text, by its number among all, that the model does not take.
    pub fn rows(&self, lexicon: &Lexicon, long: Long) -> Result<Vec<Vec<f32>>, Error> {
        let each = |(number, (text, pair)): (usize, &(String, Option<String>))| {
            let text = lexicon.encode(text, pair.as_deref(), long);
            text.and_then(|text| lexicon.rows(&text)).map_err(|e| Error::text(number, &e))
        };
        (1..).zip(&self.0).map(each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_between_texts_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.txt");
        for (text, line) in
            [("a\nb\n\n", None), ("a\n\nb", Some("line 2")), ("\na", Some("line 1"))]
        {
            fs::write(&path, text).unwrap();
            let found = without_gaps(&path).map_err(|e| e.to_string());
            match line {
                None => found.unwrap(),
                Some(line) => assert!(found.unwrap_err().contains(line), "{text:?}"),
            }
        }
    }
}
