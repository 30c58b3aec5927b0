//! The words of a tokenizer's file, and what cuts a text into them.

use serde::Deserialize;

use super::few::{Entry, Few, MAX_CONTENT, Short};

/// Most words. A model has no more (`Model::validate`).
const MAX_WORDS: usize = 1 << 18;
/// Most bytes of all words together; XLM-RoBERTa's 250,000 have 2.5 MB.
pub(super) const MAX_VOCABULARY: usize = 3 << 20;
/// Longest word, in characters, that is cut into pieces: work grows with its square. Everybody has 100.
const MAX_CHARS: usize = 200;
/// Longest word of a list with scores, in bytes: at each place of a text work grows with its square. Their authors stop at 16
/// characters.
const MAX_SCORED: usize = 128;

/// Which words there are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields are read so that no other ones are accepted")]
pub(super) struct Words {
    #[serde(rename = "type")]
    kind: Option<WordsKind>,
    vocab: Few<Entry, MAX_WORDS>,
    merges: Option<Few<Entry, MAX_WORDS>>,
    max_input_chars_per_word: Option<usize>,
    dropout: Option<f64>,
    unk_token: Option<Short<256>>,
    unk_id: Option<u32>,
    continuing_subword_prefix: Option<Short<MAX_CONTENT>>,
    end_of_word_suffix: Option<Short<MAX_CONTENT>>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
}

#[derive(Deserialize)]
#[allow(clippy::upper_case_acronyms)]
enum WordsKind {
    BPE,
    Unigram,
    WordLevel,
    WordPiece,
}

impl Words {
    /// Whether they are few and short enough.
    ///
    /// # Errors
    /// What is asked for that is not accepted, and what is.
    pub fn check(&self) -> Result<(), String> {
        let bytes = |all: &Few<Entry, MAX_WORDS>| {
            all.items.iter().fold(all.keys, |sum, entry| sum + entry.bytes)
        };
        for (what, n) in
            [("vocab", bytes(&self.vocab)), ("merges", self.merges.as_ref().map_or(0, bytes))]
        {
            if n > MAX_VOCABULARY {
                return Err(format!("`{what}` has {n} bytes of words; accepted: {MAX_VOCABULARY}"));
            }
        }
        // A table's words are its keys, and are found at once.
        let longest = self.vocab.items.iter().map(|entry| entry.bytes).max().unwrap_or(0);
        if longest > MAX_SCORED {
            return Err(format!(
                "`vocab` has a scored word of {longest} bytes; accepted: {MAX_SCORED}"
            ));
        }
        if let Some(n) = self.max_input_chars_per_word.filter(|&n| n > MAX_CHARS) {
            let why = format!("`max_input_chars_per_word` = {n}; accepted: at most {MAX_CHARS}");
            return Err(why);
        }
        match self.dropout {
            Some(p) if p != 0.0 => {
                Err(format!("`dropout` = {p} numbers words by chance; accepted: null"))
            }
            _ => Ok(()),
        }
    }
}
