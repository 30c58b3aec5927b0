//! What a tokenizer's file may ask for. The library that runs it trusts its files: a few of their bytes can ask for any memory
//! and any time.
//!
//! Everything is read as what it must be, without being kept, so that a file of any shape takes no memory; what is not
//! listed here is refused. Limits are several times what the tokenizers of our families have.

use serde::Deserialize;

use super::{
    few::{Entry, Few, MAX_CONTENT, Short},
    words::{MAX_VOCABULARY, Words},
};

/// Most added words.
const MAX_ADDED: usize = 4096;
/// Most parts of a sequence, most of one kind with those of sequences within sequences, and most pieces of a template.
const MAX_PARTS: usize = 8;
const MAX_ALL_PARTS: usize = 16;
const MAX_PIECES: usize = 16;
/// Longest replacement of a table of characters.
const MAX_REPLACEMENT: usize = 64;
/// Longest table of characters, as base64; SentencePiece's have 0.4 MB.
const MAX_CHARSMAP: usize = 2 << 20;
/// Most times that the parts together may lengthen a text, if each does its worst on all of it.
pub(super) const MAX_GROWTH: usize = 4096;
/// Regular expressions: each looks at a character once.
const REGEX: [&str; 6] = [" {2,}", " +", r"\s+", r"\s{2,}", r"\s", r"\n"];

/// A file.
#[derive(Deserialize)]
pub(super) struct Bounds {
    normalizer: Option<Part>,
    pre_tokenizer: Option<Part>,
    post_processor: Option<Part>,
    added_tokens: Option<Few<Added, MAX_ADDED>>,
    model: Words,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields are read so that no other ones are accepted")]
struct Added {
    id: u32,
    content: Short<256>,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

/// A normaliser, a pre-tokenizer or a post-processor, with the fields of all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields are read so that no other ones are accepted")]
struct Part {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(rename = "normalizers", alias = "pretokenizers", alias = "processors")]
    parts: Option<Few<Part, MAX_PARTS>>,
    pattern: Option<Pattern>,
    content: Option<Short<MAX_CONTENT>>,
    prepend: Option<Short<MAX_CONTENT>>,
    precompiled_charsmap: Option<Short<MAX_CHARSMAP>>,
    single: Option<Few<Piece, MAX_PIECES>>,
    pair: Option<Few<Piece, MAX_PIECES>>,
    special_tokens: Option<Few<Special, MAX_PIECES>>,
    cls: Option<Few<Entry, 2>>,
    sep: Option<Few<Entry, 2>>,
    behavior: Option<Short<32>>,
    replacement: Option<Short<4>>,
    str_rep: Option<Short<4>>,
    prepend_scheme: Option<Short<32>>,
    add_prefix_space: Option<bool>,
    clean_text: Option<bool>,
    handle_chinese_chars: Option<bool>,
    individual_digits: Option<bool>,
    invert: Option<bool>,
    lowercase: Option<bool>,
    split: Option<bool>,
    strip_accents: Option<bool>,
    strip_left: Option<bool>,
    strip_right: Option<bool>,
    trim_offsets: Option<bool>,
    use_regex: Option<bool>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[allow(clippy::upper_case_acronyms)]
enum Kind {
    Sequence,
    // Normalisers.
    BertNormalizer,
    Lowercase,
    NFC,
    NFD,
    NFKC,
    NFKD,
    Nmt,
    Precompiled,
    Prepend,
    Replace,
    Strip,
    StripAccents,
    // Pre-tokenizers; the first is a normaliser and a post-processor too.
    ByteLevel,
    BertPreTokenizer,
    Digits,
    Metaspace,
    Punctuation,
    Split,
    Whitespace,
    WhitespaceSplit,
    // Post-processors.
    BertProcessing,
    RobertaProcessing,
    TemplateProcessing,
}

#[derive(Deserialize)]
enum Pattern {
    String(Short<MAX_CONTENT>),
    Regex(Short<MAX_CONTENT>),
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "fields are read so that no other ones are accepted")]
enum Piece {
    Sequence { id: Sequence, type_id: u32 },
    SpecialToken { id: Short<256>, type_id: u32 },
}

#[derive(Deserialize, PartialEq)]
enum Sequence {
    A,
    B,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields are read so that no other ones are accepted")]
struct Special {
    id: Short<256>,
    ids: Few<u32, MAX_PIECES>,
    tokens: Few<Short<256>, MAX_PIECES>,
}

impl Bounds {
    /// Reads a file, and says how many times its parts may lengthen a text.
    ///
    /// # Errors
    /// What the file asks for that is not accepted, and what is.
    pub fn growth(bytes: &[u8]) -> Result<usize, String> {
        let file: Bounds = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        file.model.check()?;
        for added in file.added_tokens.iter().flat_map(|all| &all.items) {
            // All spaces around each place where it stands are looked at, which may be in one run of them.
            let spaces = added.content.text.trim().is_empty();
            if (added.lstrip || added.rstrip) && spaces {
                return Err(
                    "an added token of spaces is `lstrip` or `rstrip`; accepted: one that holds \
                    something else"
                        .into(),
                );
            }
        }
        for part in [&file.normalizer, &file.pre_tokenizer, &file.post_processor] {
            let parts = part.as_ref().map_or(0, Part::count);
            if parts > MAX_ALL_PARTS {
                return Err(format!(
                    "sequences within sequences have {parts} parts; accepted: {MAX_ALL_PARTS}"
                ));
            }
        }
        let mut growth = 1;
        for part in file.normalizer.iter().chain(&file.pre_tokenizer) {
            growth = part.lengthens(growth)?;
        }
        if growth > MAX_GROWTH {
            return Err(format!(
                "its parts may make a text {growth} times as long; accepted: {MAX_GROWTH} times"
            ));
        }
        // The library runs these through the normaliser and keeps what comes out.
        let added = file.added_tokens.iter().flat_map(|all| &all.items).filter(|a| a.normalized);
        let bytes = added.map(|a| a.content.text.len()).sum::<usize>() * growth;
        if bytes > MAX_VOCABULARY {
            return Err(format!(
                "its parts may make {bytes} bytes of the added tokens; accepted: {MAX_VOCABULARY}"
            ));
        }
        if let Some(part) = &file.post_processor {
            part.templates()?;
        }
        Ok(growth)
    }
}

impl Part {
    fn within(&self) -> &[Part] {
        self.parts.as_ref().map_or(&[], |parts| &parts.items)
    }

    fn count(&self) -> usize {
        1 + self.within().iter().map(Part::count).sum::<usize>()
    }

    /// How many times as long a text may be after this part that was `growth` times as long before it.
    fn lengthens(&self, growth: usize) -> Result<usize, String> {
        let times = match self.kind {
            Kind::Sequence => {
                return self
                    .within()
                    .iter()
                    .try_fold(growth, |growth, part| part.lengthens(growth));
            }
            Kind::Replace | Kind::Split => self.replaces()?,
            // In front of each piece of a byte or more.
            Kind::Prepend => 1 + self.prepend.as_ref().map_or(0, |p| p.text.len()),
            Kind::Metaspace => 5,
            Kind::ByteLevel | Kind::BertNormalizer | Kind::NFC | Kind::NFD => 3,
            // U+FDFA has 3 bytes and becomes 33.
            Kind::NFKC | Kind::NFKD => 11,
            Kind::Lowercase => 2,
            Kind::Precompiled => self.charsmap()?,
            _ => 1,
        };
        Ok(growth.saturating_mul(times))
    }

    fn replaces(&self) -> Result<usize, String> {
        let content = self.content.as_ref().map_or(0, |c| c.text.len());
        let shortest = match &self.pattern {
            Some(Pattern::String(s)) if !s.text.is_empty() => s.text.len(),
            Some(Pattern::Regex(r)) if REGEX.contains(&&r.text[..]) => 1,
            _ => {
                let list = REGEX.join("`, `");
                return Err(format!(
                    "a `pattern` is none that is accepted: a text, or a Regex of `{list}`"
                ));
            }
        };
        Ok(content.div_ceil(shortest).max(1))
    }

    /// The longest replacement of SentencePiece's table of characters: the length of a trie, the trie, texts that end in 0.
    fn charsmap(&self) -> Result<usize, String> {
        let text = self.precompiled_charsmap.as_ref().map_or("", |c| &c.text);
        let map = base64::decode(text).unwrap_or_default();
        let trie = map.first_chunk().map(|n| u32::from_le_bytes(*n) as usize);
        let texts = trie.filter(|n| n % 4 == 0 && *n > 0).and_then(|n| map.get(4 + n..));
        let longest = texts.and_then(|all| all.split(|&b| b == 0).map(<[u8]>::len).max());
        match longest {
            Some(n) if n <= MAX_REPLACEMENT => Ok(n.max(1)),
            Some(n) => Err(format!(
                "`precompiled_charsmap` has a replacement of {n} bytes; accepted: {MAX_REPLACEMENT}"
            )),
            None => Err("`precompiled_charsmap` is not as long as it says".into()),
        }
    }

    /// Refuses templates that repeat a text.
    fn templates(&self) -> Result<(), String> {
        for template in self.single.iter().chain(&self.pair) {
            for text in [Sequence::A, Sequence::B] {
                let is = |p: &&Piece| matches!(p, Piece::Sequence { id, .. } if *id == text);
                if template.items.iter().filter(is).count() > 1 {
                    return Err("a template repeats a text; accepted: each once".into());
                }
            }
        }
        self.within().iter().try_for_each(Part::templates)
    }
}
