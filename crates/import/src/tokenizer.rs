//! A model's tokenizer, at the client: texts become numbers of words.

mod bounds;
mod few;
mod growth;
mod words;

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sotto_models::{Model, calibration::hex, model::Input, text::Text};
use tokenizers::{EncodeInput, TruncationParams, TruncationStrategy};

use bounds::Bounds;

use crate::{
    error::{Error, shown},
    folder::{Folder, bounded},
};

/// The file's name.
pub const FILE: &str = "tokenizer.json";
/// Longest file that is parsed, in bytes. Those of XLM-RoBERTa's 250,000 words have 17 MB.
pub const MAX_FILE: usize = 24 << 20;
/// Longest text that is numbered, in bytes. A model takes 8,192 words at most.
pub const MAX_TEXT: usize = 256 << 10;
/// Most bytes that the file's own rules may make of a text.
const MAX_GROWN: usize = 1 << 20;

/// What becomes of a text that is longer than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Long {
    /// It is refused.
    #[default]
    Refuse,
    /// Its end is left out, of a pair the longer one's.
    Truncate,
}

/// The tokenizer of one model.
///
/// The padding and the truncation that the file asks for are not used: a text has the words that it has.
///
/// Security: the file may come from the server. It can make a client number its words badly, and so choose what of a text the
/// number of its words tells, which is public; nothing else goes back. [`Tokenizer::hash`] says which it is. Whatever it
/// holds, reading it takes at most 1.5 GiB, a text of [`MAX_TEXT`] bytes 1 GiB: words, templates and replacements are
/// counted before the library sees them, regular expressions are of a few, and a text that its rules make longer than
/// 1 MiB is refused. Reading and numbering take time in proportion to the bytes, some ten seconds of a core at most.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// How many times its rules may lengthen a text.
    growth: usize,
    hash: [u8; 32],
    vocabulary: usize,
    positions: usize,
    kinds: usize,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer {{ {} words, .. }}", self.vocabulary)
    }
}

impl Tokenizer {
    /// Reads a tokenizer's file for a model of words.
    ///
    /// # Errors
    /// [`Error::File`] for a file of more than [`MAX_FILE`] bytes, before it is parsed, for one that is no tokenizer or asks for
    /// more than a tokenizer needs, and for a vocabulary beyond the model's; [`Error::Text`] for a model of pictures.
    pub fn from_bytes(bytes: &[u8], model: &Model) -> Result<Self, Error> {
        let Input::Words(words) = &model.input else {
            return Err(Error::Text(format!("has no use: `{}` takes pictures", model.name)));
        };
        if bytes.len() > MAX_FILE {
            let why = format!("has {} bytes; at most {MAX_FILE} are read", bytes.len());
            return Err(Error::file(FILE, why));
        }
        let none = |e: &str| Error::file(FILE, format!("is no tokenizer: {}", shown(e)));
        let growth = Bounds::growth(bytes).map_err(|why| none(&why))?;
        let file: Kept = serde_json::from_slice(bytes).map_err(|e| none(&e.to_string()))?;
        let file = serde_json::to_string(&file).expect("what was JSON is JSON");
        let read =
            guarded(|| tokenizers::Tokenizer::from_bytes(&file)).ok_or_else(|| none(BROKEN))?;
        let mut inner = read.map_err(|e| none(&e.to_string()))?;
        let none = inner.with_padding(None).with_truncation(None).map(|_| ());
        none.map_err(|e| Error::file(FILE, shown(&e.to_string())))?;
        let last = inner.get_vocab(true).into_values().max().unwrap_or(0);
        if last as usize >= words.vocabulary {
            let why = format!(
                "numbers words up to {last}; the model has {}: it is another model's",
                words.vocabulary
            );
            return Err(Error::file(FILE, why));
        }
        Ok(Tokenizer {
            inner,
            growth,
            hash: blake3::derive_key("sottovoce 2026 tokenizer v1", bytes),
            vocabulary: words.vocabulary,
            positions: words.positions,
            kinds: words.kinds,
        })
    }

    /// Reads a tokenizer's file; see [`Tokenizer::from_bytes`].
    ///
    /// # Errors
    /// As [`Tokenizer::from_bytes`]; also [`Error::Io`].
    pub fn load(path: &Path, model: &Model) -> Result<Self, Error> {
        Self::from_bytes(&bounded(path, FILE, MAX_FILE as u64)?, model)
    }

    /// BLAKE3 of the file, by which client and server can tell that they number words alike.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Numbers the words of a text, or of a pair of texts, with the special words that the model expects.
    ///
    /// # Errors
    /// [`Error::Text`] for a text that is too long (it says how many words it has and how many the model takes), or that the
    /// tokenizer cannot split. No error holds a part of the text.
    pub fn encode(&self, text: &str, pair: Option<&str>, long: Long) -> Result<Text, Error> {
        let bytes = text.len() + pair.map_or(0, str::len);
        if bytes > MAX_TEXT {
            let why = format!("of {bytes} bytes: at most {MAX_TEXT} are read; shorten it");
            return Err(Error::Text(why));
        }
        self.grows(text, pair)?;
        let mut encoding = self.split(&self.inner, text, pair)?;
        let (n, most) = (encoding.len(), self.positions);
        if n > most {
            if long == Long::Refuse {
                let why =
                    format!("of {n} tokens: the model takes {most}; shorten it or pass --truncate");
                return Err(Error::Text(why));
            }
            let mut cut = self.inner.clone();
            let strategy = TruncationStrategy::LongestFirst;
            let params = TruncationParams { max_length: most, strategy, ..Default::default() };
            cut.with_truncation(Some(params)).map_err(|_| {
                Error::Text(format!("cannot be cut to the {most} tokens that the model takes"))
            })?;
            encoding = self.split(&cut, text, pair)?;
        }
        let words = encoding.get_ids().to_vec();
        if words.is_empty() || words.len() > most {
            let why = format!("of {} tokens: the model takes 1 to {most}", words.len());
            return Err(Error::Text(why));
        }
        if let Some(at) = words.iter().position(|&w| w as usize >= self.vocabulary) {
            let why = format!(
                "has a token, number {at}, outside of the model's vocabulary of {}: the tokenizer is another model's",
                self.vocabulary
            );
            return Err(Error::Text(why));
        }
        // Kinds that the model does not have are left out: all words are of one.
        let kinds = if self.kinds > 1 { encoding.get_type_ids().to_vec() } else { Vec::new() };
        if let Some(at) = kinds.iter().position(|&k| k as usize >= self.kinds) {
            let why =
                format!("has a token, number {at}, of a kind beyond the model's {}", self.kinds);
            return Err(Error::Text(why));
        }
        Ok(Text { words, kinds })
    }

    /// A word as the tokenizer spells it, such as `##ing`; `None` for a number that it does not have.
    pub fn word(&self, number: u32) -> Option<String> {
        self.inner.id_to_token(number)
    }

    /// Refuses a text that the file's rules make too long, by what they make of each of its pieces.
    fn grows(&self, text: &str, pair: Option<&str>) -> Result<(), Error> {
        let texts = || [text, pair.unwrap_or_default()].into_iter();
        if texts().map(str::len).sum::<usize>() * self.growth <= MAX_GROWN {
            return Ok(());
        }
        let grown = guarded(|| growth::longest(&self.inner, texts()));
        if grown.flatten().ok_or_else(unsplit)? > MAX_GROWN {
            let why = format!(
                "becomes more than {MAX_GROWN} bytes by the rules of the model's tokenizer; shorten it"
            );
            return Err(Error::Text(why));
        }
        Ok(())
    }

    fn split(
        &self,
        with: &tokenizers::Tokenizer,
        text: &str,
        pair: Option<&str>,
    ) -> Result<tokenizers::Encoding, Error> {
        let input: EncodeInput<'_> = match pair {
            None => text.into(),
            Some(pair) => (text, pair).into(),
        };
        // What the library says may hold a part of the text.
        guarded(|| with.encode_fast(input, true)).and_then(Result::ok).ok_or_else(unsplit)
    }
}

/// What is read of a file, after it was bounded. The library panics where it meets a syntax error in a decoder, which nobody
/// needs here.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Kept {
    #[serde(skip_serializing_if = "Value::is_null")]
    version: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    added_tokens: Value,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    model: Value,
}

fn unsplit() -> Error {
    Error::Text("cannot be split into tokens by the model's tokenizer".into())
}

/// What is said of a file on which the library panics.
const BROKEN: &str = "its parts do not fit together";

/// What the library gives, or nothing where it panics: it trusts its files, and we do not.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok()
}

/// A folder's tokenizer: the file, which was read as the model's, and its hash in hexadecimal. `lower` says that texts are
/// made lower case before it sees them, which it must then do itself.
pub(crate) fn of(folder: &Folder, model: &Model, lower: bool) -> Result<(Vec<u8>, String), Error> {
    let Some(bytes) = folder.read(FILE, MAX_FILE as u64)? else {
        let why = "is not in the folder; write it: python -c \"from transformers import AutoTokenizer as T; \
            T.from_pretrained('FOLDER').save_pretrained('FOLDER')\"";
        return Err(Error::file(FILE, why));
    };
    let tokenizer = Tokenizer::from_bytes(&bytes, model)?;
    if lower && !lowers(&bytes) {
        let why = "= true, but tokenizer.json keeps capitals; accepted: false, or a normalizer that makes lower case";
        return Err(Error::Field {
            file: "sentence_bert_config.json".into(),
            field: "do_lower_case".into(),
            why: why.into(),
        });
    }
    let hash = hex(&tokenizer.hash());
    Ok((bytes, hash))
}

/// Whether a tokenizer's own normaliser makes texts lower case.
fn lowers(bytes: &[u8]) -> bool {
    fn any(value: &Value) -> bool {
        match value {
            Value::Object(fields) => {
                fields.get("type").is_some_and(|t| t == "Lowercase")
                    || fields.get("lowercase").is_some_and(|l| l == true)
                    || fields.values().any(any)
            }
            Value::Array(all) => all.iter().any(any),
            _ => false,
        }
    }
    serde_json::from_slice::<Value>(bytes).is_ok_and(|file| any(&file["normalizer"]))
}
