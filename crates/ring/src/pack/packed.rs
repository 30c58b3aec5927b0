//! Packed words that are read where they lie.

use super::{packed_len, unpack, unpack_vec};
use crate::lanes::extend;

/// Words that are worked on at a time: a few buffers of them stay in the first-level cache. A multiple of 8, so that chunks of
/// packed words start at whole bytes.
pub const CHUNK: usize = 1024;

/// Packed words. No `Debug`: they are secret.
#[derive(Clone, Copy)]
pub struct Packed<'a> {
    bytes: &'a [u8],
    count: usize,
    width: u32,
    signed: bool,
}

impl<'a> Packed<'a> {
    /// `count` words of `width` bits from the start of `bytes`.
    ///
    /// # Panics
    /// Where the bytes are fewer.
    pub fn new(bytes: &'a [u8], count: usize, width: u32) -> Self {
        let bytes = &bytes[..packed_len(count, width)];
        Self { bytes, count, width, signed: false }
    }

    /// The same words in two's complement, read as 64 bits each.
    pub fn signed(self) -> Self {
        Self { signed: true, ..self }
    }

    /// Number of words.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Words `at..at + count`, where `at` is a multiple of 8.
    ///
    /// # Panics
    /// Where there are fewer words, and where they do not start at a whole byte of a group.
    pub fn part(self, at: usize, count: usize) -> Self {
        assert!(at.is_multiple_of(8) && at + count <= self.count, "{count} words from {at}");
        let start = at / 8 * self.width as usize;
        let bytes = &self.bytes[start..start + packed_len(count, self.width)];
        Self { bytes, count, ..self }
    }

    /// The bytes as they lie; the last one may hold bits that are no word's.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Words `at..at + out.len()`; fastest where `at` is a multiple of 8.
    ///
    /// # Panics
    /// Where there are fewer words.
    pub fn unpack(&self, at: usize, out: &mut [u64]) {
        assert!(at + out.len() <= self.count, "words from {at}");
        // Groups of 8 words are whole bytes.
        let lead = at % 8;
        let (first, rest) = out.split_at_mut(if lead == 0 { 0 } else { (8 - lead).min(out.len()) });
        if !first.is_empty() {
            let mut group = [0; 8];
            let group = &mut group[..lead + first.len()];
            self.aligned(at - lead, group);
            first.copy_from_slice(&group[lead..]);
        }
        if !rest.is_empty() {
            self.aligned(at + first.len(), rest);
        }
        if self.signed {
            extend(out, self.width);
        }
    }

    fn aligned(&self, at: usize, out: &mut [u64]) {
        let start = at / 8 * self.width as usize;
        let len = packed_len(out.len(), self.width);
        unpack(&self.bytes[start..start + len], self.width, out);
    }

    /// Tells the processor that words `at..at + count` are read soon; what is not there is left out.
    pub(crate) fn prefetch(&self, at: usize, count: usize) {
        let width = self.width as usize;
        let end = ((at + count) * width).div_ceil(8).min(self.bytes.len());
        crate::prefetch::lines(self.bytes.get(at * width / 8..end).unwrap_or_default());
    }

    /// All words.
    pub fn to_words(self) -> Vec<u64> {
        if !self.signed {
            return unpack_vec(self.bytes, self.width, self.count);
        }
        let mut out = vec![0; self.count];
        self.unpack(0, &mut out);
        out
    }

    /// Calls `f` with these words, chunk by chunk.
    pub fn each(&self, mut f: impl FnMut(&[u64])) {
        let mut buffer = [0; CHUNK];
        for at in (0..self.count).step_by(CHUNK) {
            let buffer = &mut buffer[..CHUNK.min(self.count - at)];
            self.unpack(at, buffer);
            f(buffer);
        }
    }

    /// Calls `f` with the part of `words` and of these words, chunk by chunk.
    ///
    /// # Panics
    /// Where `words` are not as many.
    pub fn zip(&self, words: &mut [u64], mut f: impl FnMut(&mut [u64], &[u64])) {
        assert_eq!(words.len(), self.count, "{} words for {}", words.len(), self.count);
        let mut buffer = [0; CHUNK];
        for (i, words) in words.chunks_mut(CHUNK).enumerate() {
            let buffer = &mut buffer[..words.len()];
            self.unpack(i * CHUNK, buffer);
            f(words, buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::pack;

    #[test]
    fn any_part_is_the_words_own() {
        for width in [1, 6, 13, 24, 33, 64] {
            let words: Vec<u64> =
                (1..=83u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let mut bytes = Vec::new();
            pack(&words, width, &mut bytes);
            let packed = Packed::new(&bytes, words.len(), width);
            for at in 0..=words.len() {
                for len in [0, 1, 5, 8, 40, 83].into_iter().filter(|len| at + len <= words.len()) {
                    let (mut plain, mut signed) = (vec![1; len], vec![1; len]);
                    packed.unpack(at, &mut plain);
                    packed.signed().unpack(at, &mut signed);
                    if at % 8 == 0 {
                        assert_eq!(packed.part(at, len).to_words(), plain);
                        assert_eq!(packed.signed().part(at, len).to_words(), signed);
                    }
                    for (i, &word) in words[at..at + len].iter().enumerate() {
                        assert_eq!(plain[i], word & crate::mask(width), "{width} bits, {at} + {i}");
                        assert_eq!(signed[i] as i64, crate::signed(word, width));
                    }
                }
            }
            assert_eq!(packed.to_words(), unpack_vec(&bytes, width, words.len()));
            let signed = packed.signed().to_words();
            assert!(signed.iter().zip(&words).all(|(&a, &w)| a as i64 == crate::signed(w, width)));
        }
    }

    #[test]
    fn chunks_agree_with_the_whole() {
        for width in [1, 6, 13, 33, 64] {
            let count = 2 * CHUNK + 77;
            let bytes: Vec<u8> =
                (0..packed_len(count, width)).map(|i| ((i * 37) >> 3) as u8).collect();
            let packed = Packed::new(&bytes, count, width);
            let mut whole = vec![0; count];
            unpack(&bytes, width, &mut whole);
            assert_eq!(packed.to_words(), whole);
            let mut parts = Vec::new();
            packed.each(|part| parts.extend_from_slice(part));
            assert_eq!(parts, whole);
            let mut copied = vec![1; count];
            packed.zip(&mut copied, |out, words| {
                out.iter_mut().zip(words).for_each(|(o, w)| *o += w & crate::mask(32));
            });
            assert!(copied.iter().zip(&whole).all(|(c, w)| c - 1 == w & crate::mask(32)));
        }
    }
}
