//! Seeds and pseudorandom streams: where every mask and every seed-derived share comes from.
//!
//! One party's whole side of the correlated randomness of an inference hangs from one
//! 32-byte [`Seed`]. Each draw of each gate reads its own [`Stream`], named by a 64-bit number
//! that is unique within the seed (ChaCha's nonce), so draws can be expanded in any order,
//! and two purposes never share a key stream. A stream is the same on every machine, in whatever pieces
//! it is read.
//!
//! Security: ChaCha12 (the choice of rand's `StdRng`; 7 rounds are the best known attack) as a
//! PRG; BLAKE3 in keyed-derivation mode separates seeds. Seeds are wiped on drop and have no
//! `Debug` that shows them.

#[cfg(feature = "record")]
pub mod record;

use std::fmt;

use chacha20::ChaCha12;
use cipher::{KeyIvInit, StreamCipher};
use sotto_ring::chacha::{self, PASS};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What can fail here: only the operating system's entropy source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system gave no random bytes.
    #[error("no entropy from the operating system: {0}")]
    Entropy(String),
}

/// A 32-byte secret from which streams are expanded. It has one place on the heap from birth to drop: moving it, or what
/// it is in, leaves no copy behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(Box<[u8; 32]>);

impl Seed {
    /// A fresh seed from the operating system.
    ///
    /// # Errors
    /// [`Error::Entropy`] when the operating system has none to give.
    #[cfg(feature = "entropy")]
    pub fn random() -> Result<Self, Error> {
        let mut seed = Self::zero();
        getrandom::fill(&mut *seed.0).map_err(|e| Error::Entropy(e.to_string()))?;
        Ok(seed)
    }

    fn zero() -> Self {
        Self(Box::new([0; 32]))
    }

    /// The seed of 32 bytes that `next` gives, in their order.
    ///
    /// # Errors
    /// Those of `next`.
    pub fn read<E>(mut next: impl FnMut() -> Result<u8, E>) -> Result<Self, E> {
        let mut seed = Self::zero();
        for byte in seed.0.iter_mut() {
            *byte = next()?;
        }
        Ok(seed)
    }

    /// The seed with exactly these bytes (received from the dealer, or fixed in a test).
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let seed = Self(Box::new(bytes));
        bytes.zeroize();
        seed
    }

    /// The seed that a hash gives, which is wiped.
    fn of(mut hash: blake3::Hash) -> Self {
        let mut seed = Self::zero();
        seed.0.copy_from_slice(hash.as_bytes());
        hash.zeroize();
        seed
    }

    /// The bytes, to be sent to the one party that may know them.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A child seed for `purpose` and `number`, independent of every other child.
    pub fn derive(&self, purpose: &str, number: u64) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(purpose.len() as u64).to_le_bytes());
        hasher.update(purpose.as_bytes());
        hasher.update(&number.to_le_bytes());
        let child = Self::of(hasher.finalize());
        hasher.zeroize();
        child
    }

    /// A child seed for `purpose` and a list of public fields, independent of every other child: no two different
    /// lists are one message to the hash ([`encode_fields`]), nor is any of them one of [`Seed::derive`]'s.
    pub fn derive_fields(&self, purpose: &'static str, fields: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&encode_fields(purpose, fields));
        let child = Self::of(hasher.finalize());
        hasher.zeroize();
        child
    }

    /// A public name of this seed, from which the seed cannot be found: a hash of 256 uniform bits.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("sottovoce seed fingerprint 1");
        hasher.update(&*self.0);
        let name = *hasher.finalize().as_bytes();
        hasher.zeroize();
        name
    }

    /// The key stream number `id` of this seed.
    pub fn stream(&self, id: u64) -> Stream {
        #[cfg(feature = "record")]
        record::note(self, id);
        Stream { source: Source::new(self, id), ahead: Zeroizing::new([0; PASS]), left: 0 }
    }
}

/// `purpose` and `fields` as one message: a tag that no length of [`Seed::derive`] can be, the number of fields,
/// then the purpose and every field behind its length. Different arguments give different bytes.
pub fn encode_fields(purpose: &str, fields: &[&[u8]]) -> Vec<u8> {
    let mut out = u64::MAX.to_le_bytes().to_vec();
    out.extend((fields.len() as u64).to_le_bytes());
    for part in [purpose.as_bytes()].iter().chain(fields) {
        out.extend((part.len() as u64).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

impl Zeroize for Seed {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl ZeroizeOnDrop for Seed {}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// ChaCha12 with a 64-bit stream number in the last words, as the original has it; the word before is the upper half of its
/// block counter.
enum Source {
    /// By this machine's kernel: 2.5 times as fast as the library with AVX2, and it is most of what a dealer and a client do
    /// offline.
    Kernel { cipher: chacha::ChaCha12, key: Zeroizing<[u8; 32]>, id: u64, block: u64 },
    /// By the library.
    Library(ChaCha12),
}

/// Bytes of a vector at a time, whole steps: what is cleared is still in the first-level cache when it is overwritten.
const CLEARED: usize = 16 << 10;

/// Bytes that the library makes at least: four blocks, which its kernels make side by side. Fewer take it longer.
const AHEAD: usize = 256;

impl Source {
    fn new(seed: &Seed, id: u64) -> Self {
        match chacha::ChaCha12::detect() {
            Some(cipher) => {
                let mut key = Zeroizing::new([0; 32]);
                key.copy_from_slice(&*seed.0);
                Self::Kernel { cipher, key, id, block: 0 }
            }
            None => Self::library(seed, id),
        }
    }

    fn library(seed: &Seed, id: u64) -> Self {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&id.to_le_bytes());
        Self::Library(ChaCha12::new((&*seed.0).into(), &nonce.into()))
    }

    /// How many bytes are made at a time.
    fn step(&self) -> usize {
        match self {
            Self::Kernel { .. } => PASS,
            Self::Library(_) => AHEAD,
        }
    }

    /// Makes the next bytes, whole steps.
    fn fill(&mut self, out: &mut [u8]) {
        match self {
            Self::Kernel { cipher, key, id, block } => {
                cipher.fill(key, [0, *id as u32, (*id >> 32) as u32], *block, out);
                *block += out.len() as u64 / 64;
            }
            Self::Library(cipher) => cipher.write_keystream(out),
        }
    }
}

/// A pseudorandom byte stream; its state is wiped on drop.
pub struct Stream {
    source: Source,
    /// What was made last, a step, of which the last `left` bytes are not read yet.
    ahead: Zeroizing<[u8; PASS]>,
    left: usize,
}

impl Stream {
    /// Fills `out` with the next bytes of the stream.
    ///
    /// # Panics
    /// After 2^38 bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        let step = self.source.step();
        let (head, rest) = out.split_at_mut(self.left.min(out.len()));
        head.copy_from_slice(&self.ahead[step - self.left..][..head.len()]);
        self.left -= head.len();
        let (whole, tail) = rest.split_at_mut(rest.len() / step * step);
        self.source.fill(whole);
        if !tail.is_empty() {
            self.source.fill(&mut self.ahead[..step]);
            tail.copy_from_slice(&self.ahead[..tail.len()]);
            self.left = step - tail.len();
        }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count);
        while out.len() < count {
            let start = out.len();
            out.resize((start + CLEARED).min(count), 0);
            self.fill(&mut out[start..]);
        }
        out
    }

    /// A float uniform in `[0, 1)`, for tests and for the simulator's coins.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha12Rng;
    use proptest::prelude::*;
    use rand_core::{Rng, SeedableRng};

    #[test]
    fn streams_differ_by_seed_and_number_and_repeat_themselves() {
        let seed = Seed::from_bytes([7; 32]);
        let read = |s: &Seed, id| s.stream(id).bytes(40);
        assert_eq!(read(&seed, 1), read(&seed, 1));
        assert_ne!(read(&seed, 1), read(&seed, 2));
        assert_ne!(read(&seed, 1), read(&Seed::from_bytes([8; 32]), 1));
    }

    #[test]
    fn children_differ_by_purpose_and_number() {
        let seed = Seed::from_bytes([7; 32]);
        let children =
            [seed.derive("a", 0), seed.derive("a", 1), seed.derive("b", 0), seed.derive("", 0)];
        for (i, a) in children.iter().enumerate() {
            for b in &children[i + 1..] {
                assert!(a != b);
            }
        }
        assert!(seed.derive("a", 0) == children[0]);
    }

    #[test]
    fn children_by_fields_differ_from_each_other_and_from_those_by_number() {
        let seed = Seed::from_bytes([7; 32]);
        let fields: [&[&[u8]]; 6] =
            [&[], &[b""], &[b"", b""], &[b"a b", b"c"], &[b"a", b"b c"], &[b"a b c"]];
        let mut children: Vec<Seed> = fields.iter().map(|f| seed.derive_fields("a", f)).collect();
        children.push(seed.derive_fields("", &[b"a"]));
        children.push(seed.derive("a", 0));
        for (i, a) in children.iter().enumerate() {
            assert!(children[i + 1..].iter().all(|b| a != b), "child {i}");
        }
    }

    #[test]
    fn a_fingerprint_names_a_seed_and_is_not_it() {
        let (a, b) = (Seed::from_bytes([7; 32]), Seed::from_bytes([8; 32]));
        assert_eq!(a.fingerprint(), a.clone().fingerprint());
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_ne!(&a.fingerprint(), a.expose());
        assert_ne!(&a.fingerprint(), a.derive_fields("sottovoce seed fingerprint 1", &[]).expose());
    }

    #[cfg(feature = "entropy")]
    #[test]
    fn random_seeds_are_fresh_and_never_shown() {
        let (a, b) = (Seed::random().unwrap(), Seed::random().unwrap());
        assert!(a != b);
        assert_eq!(format!("{a:?}"), "Seed(..)");
    }

    #[test]
    fn chacha12_test_vector() {
        // draft-strombergson-chacha-test-vectors-01, TC1, 12 rounds, 256-bit key: zero key and nonce.
        let got = Seed::from_bytes([0; 32]).stream(0).bytes(16);
        assert_eq!(
            got,
            [
                0x9b, 0xf4, 0x9a, 0x6a, 0x07, 0x55, 0xf9, 0x53, 0x81, 0x1f, 0xce, 0x12, 0x5f, 0x26,
                0x83, 0xd5
            ]
        );
    }

    /// What [`encode_fields`] encoded; that this exists is why no two lists are encoded alike.
    fn decode_fields(mut bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        fn number(bytes: &mut &[u8]) -> u64 {
            let (head, tail) = bytes.split_at(8);
            *bytes = tail;
            u64::from_le_bytes(head.try_into().unwrap())
        }
        assert_eq!(number(&mut bytes), u64::MAX);
        let count = number(&mut bytes) as usize;
        let mut parts = (0..=count).map(|_| {
            let length = number(&mut bytes) as usize;
            let (head, tail) = bytes.split_at(length);
            bytes = tail;
            head.to_vec()
        });
        let purpose = parts.next().unwrap();
        let fields = parts.collect();
        assert!(bytes.is_empty());
        (purpose, fields)
    }

    proptest! {
        /// Every list of fields can be read back from its encoding, so that no two share one.
        #[test]
        fn fields_are_encoded_without_ambiguity(
            purpose in ".{0,9}",
            fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
        ) {
            let borrowed: Vec<&[u8]> = fields.iter().map(|f| &f[..]).collect();
            let decoded = decode_fields(&encode_fields(&purpose, &borrowed));
            prop_assert_eq!(decoded, (purpose.into_bytes(), fields));
        }

        /// Moving the border between two fields, or joining them, gives another encoding.
        #[test]
        fn borders_between_fields_count(text in "[ab ]{1,12}", a in 0usize..12, b in 0usize..12) {
            let at = |i: usize| {
                let (head, tail) = text.as_bytes().split_at(i % (text.len() + 1));
                encode_fields("p", &[head, tail])
            };
            let same = a % (text.len() + 1) == b % (text.len() + 1);
            prop_assert_eq!(at(a) == at(b), same);
            prop_assert_ne!(at(a), encode_fields("p", &[text.as_bytes()]));
        }

        /// Whatever kernels this machine has, and in whatever pieces: the stream of rand's generator.
        #[test]
        fn a_stream_is_the_generator_s(
            key: [u8; 32],
            id: u64,
            pieces in prop::collection::vec(0usize..5000, 0..12),
        ) {
            let seed = Seed::from_bytes(key);
            let mut generator = ChaCha12Rng::from_seed(key);
            generator.set_stream(id);
            let mut expected = vec![0; pieces.iter().sum()];
            generator.fill_bytes(&mut expected);
            for source in [Source::new(&seed, id), Source::library(&seed, id)] {
                let mut stream = Stream { source, ..seed.stream(id) };
                let got: Vec<u8> = pieces.iter().flat_map(|&n| stream.bytes(n)).collect();
                prop_assert_eq!(&got, &expected);
            }
        }
    }
}
