//! How long the rules of a tokenizer's file make a text, found out without making it so long.

use tokenizers::{
    Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    PreTokenizerWrapper, Tokenizer,
};

use super::{MAX_GROWN, bounds::MAX_GROWTH};

/// Bytes of the pieces that are tried. None becomes longer than the whole may.
const PIECE: usize = MAX_GROWN / MAX_GROWTH;

/// The bytes that the rules make of these texts, at the longest: one may lengthen what the next one shortens. More than
/// [`MAX_GROWN`] is not told exactly. `None` where a rule fails.
pub(super) fn longest<'a>(
    rules: &Tokenizer,
    texts: impl Iterator<Item = &'a str>,
) -> Option<usize> {
    let mut all = 0;
    for piece in texts.flat_map(pieces) {
        all += longest_piece(rules, piece)?;
        if all > MAX_GROWN {
            break;
        }
    }
    Some(all)
}

fn longest_piece(rules: &Tokenizer, piece: &str) -> Option<usize> {
    let bytes = |split: &PreTokenizedString| -> usize {
        let parts = split.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        parts.iter().map(|(text, ..)| text.len()).sum()
    };
    let added = rules.get_added_vocabulary();
    let mut split = added.extract_and_normalize(None::<&NormalizerWrapper>, piece);
    let mut longest = bytes(&split);
    for rule in rules.get_normalizer().map(normalizers).unwrap_or_default() {
        split.normalize(|text| rule.normalize(text)).ok()?;
        longest = longest.max(bytes(&split));
    }
    for rule in rules.get_pre_tokenizer().map(pre_tokenizers).unwrap_or_default() {
        rule.pre_tokenize(&mut split).ok()?;
        longest = longest.max(bytes(&split));
    }
    Some(longest)
}

/// A text in pieces of about [`PIECE`] bytes.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The rules of a sequence, one by one.
fn normalizers(rule: &NormalizerWrapper) -> Vec<&NormalizerWrapper> {
    match rule {
        NormalizerWrapper::Sequence(all) => all.as_ref().iter().flat_map(normalizers).collect(),
        one => vec![one],
    }
}

/// The same of rules that cut a text up.
fn pre_tokenizers(rule: &PreTokenizerWrapper) -> Vec<&PreTokenizerWrapper> {
    match rule {
        PreTokenizerWrapper::Sequence(all) => {
            all.as_ref().iter().flat_map(pre_tokenizers).collect()
        }
        one => vec![one],
    }
}
