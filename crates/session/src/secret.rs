//! A seed as control messages carry it: it goes from the message's bytes to the heap and back, and leaves no copy between.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};
use sotto_crypto::Seed;

/// A seed on its way, wiped when it is dropped; 32 bytes on the wire. No `Debug`: it is secret.
#[derive(Clone)]
pub struct Secret(pub Seed);

impl Secret {
    /// A pad: uniform, for one seed.
    ///
    /// # Errors
    /// [`sotto_crypto::Error::Entropy`].
    pub fn random() -> Result<Self, sotto_crypto::Error> {
        Seed::random().map(Self)
    }

    /// This under a pad, or from under it again.
    ///
    /// Security: the transport library decrypts into buffers that it does not wipe. What lies there is, on one side, the
    /// pad, and on the other, a seed under it: who reads one party's memory later has nothing.
    pub fn under(&self, pad: &Self) -> Self {
        let mut both = self.0.expose().iter().zip(pad.0.expose()).map(|(a, b)| a ^ b);
        let seed = Seed::read(|| both.next().ok_or(()));
        Self(seed.expect("both have 32 bytes"))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.expose().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_tuple(32, Bytes).map(Self)
    }
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Seed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Seed, A::Error> {
        Seed::read(|| all.next_element()?.ok_or_else(|| A::Error::custom("fewer than 32 bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_32_bytes_on_the_wire() {
        let bytes: [u8; 32] = std::array::from_fn(|i| i as u8);
        let text = serde_json::to_string(&Secret(Seed::from_bytes(bytes))).unwrap();
        assert_eq!(text, serde_json::to_string(&bytes).unwrap());
        let back: Secret = serde_json::from_str(&text).unwrap();
        assert_eq!(back.0.expose(), &bytes);
        assert!(serde_json::from_str::<Secret>("[1, 2, 3]").is_err());
    }

    #[test]
    fn a_pad_hides_it_and_gives_it_back() {
        let seed = Secret(Seed::from_bytes([7; 32]));
        let [pad, other] = [(); 2].map(|()| Secret::random().unwrap());
        let hidden = seed.under(&pad);
        assert!(hidden.0 != seed.0 && hidden.0 != seed.under(&other).0);
        assert!(hidden.under(&pad).0 == seed.0);
    }
}
