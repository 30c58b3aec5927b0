//! Texts, lists and tables of a file that are refused while they are read, at the first byte or entry too many.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A text of at most `N` bytes.
pub(super) struct Short<const N: usize> {
    pub text: String,
}

/// At most `N` entries: a list, or a table whose keys are counted.
pub(super) struct Few<T, const N: usize> {
    pub items: Vec<T>,
    /// Bytes of the keys.
    pub keys: usize,
}

/// What a vocabulary or a list of merges is made of: a word, a number, or at most two of them.
pub(super) struct Entry {
    /// Bytes of the words.
    pub bytes: usize,
}

/// Most bytes that are put in the place of others, or in front of or behind a word.
pub(super) const MAX_CONTENT: usize = 16;
/// Longest word, in bytes. GPT-2's longest has 128.
const MAX_WORD: usize = 256;

impl<'de, const N: usize> Deserialize<'de> for Short<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text<const N: usize>;
        impl<const N: usize> Visitor<'_> for Text<N> {
            type Value = Short<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {N} bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Short<N>, E> {
                if text.len() > N {
                    return Err(E::invalid_length(text.len(), &self));
                }
                Ok(Short { text: text.to_owned() })
            }
        }
        from.deserialize_str(Text)
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Few<T, N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for All<T, N> {
            type Value = Few<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {N} entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T, N>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == N {
                        return Err(A::Error::invalid_length(N + 1, &self));
                    }
                    items.push(item);
                }
                Ok(Few { items, keys: 0 })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Few<T, N>, A::Error> {
                let (mut items, mut keys) = (Vec::new(), 0);
                while let Some((key, item)) = table.next_entry::<Short<MAX_WORD>, T>()? {
                    if items.len() == N {
                        return Err(A::Error::invalid_length(N + 1, &self));
                    }
                    keys += key.text.len();
                    items.push(item);
                }
                Ok(Few { items, keys })
            }
        }
        from.deserialize_any(All(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a word of at most {MAX_WORD} bytes, a number, or two of them")
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Entry, E> {
                Ok(Entry { bytes: 0 })
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Entry, E> {
                Ok(Entry { bytes: 0 })
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Entry, E> {
                Ok(Entry { bytes: 0 })
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Entry, E> {
                if word.len() > MAX_WORD {
                    return Err(E::invalid_length(word.len(), &self));
                }
                Ok(Entry { bytes: word.len() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
                let (mut bytes, mut count) = (0, 0);
                while let Some(entry) = list.next_element::<Entry>()? {
                    (bytes, count) = (bytes + entry.bytes, count + 1);
                    if count > 2 {
                        return Err(A::Error::invalid_length(count, &self));
                    }
                }
                Ok(Entry { bytes })
            }
        }
        from.deserialize_any(Words)
    }
}
