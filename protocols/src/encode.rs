//! Bytes that say all that a plan is, for its hash: explicit, the same on every machine, and without ambiguity.
//!
//! Numbers have a fixed length, lists and texts stand behind theirs, an enum's variant behind a number that stays when
//! variants are added. So whoever knows the types can read the bytes back, and no two plans share them.
//! [`encode!`](crate::encode!) names every field of a struct: one that is forgotten does not compile.

/// What can be encoded.
pub trait Encode {
    /// Appends the bytes.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Implements [`Encode`](crate::encode::Encode) for a struct, field by field; all of them must be named.
#[macro_export]
macro_rules! encode {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl $crate::encode::Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::encode::Encode::encode($field, out);)*
            }
        }
    };
}

/// Numbers, as many bytes as they have.
macro_rules! encode_numbers {
    ($($type:ty),*) => {
        $(impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }
        })*
    };
}

encode_numbers!(u8, u32, u64, i64, f64);

impl Encode for usize {
    fn encode(&self, out: &mut Vec<u8>) {
        (*self as u64).encode(out);
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        u8::from(*self).encode(out);
    }
}

impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().encode(out);
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_str().encode(out);
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, out: &mut Vec<u8>) {
        self.len().encode(out);
        self.iter().for_each(|x| x.encode(out));
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }
}

impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|x| x.encode(out));
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(x: impl Encode) -> Vec<u8> {
        let mut out = Vec::new();
        x.encode(&mut out);
        out
    }

    #[test]
    fn lists_and_texts_do_not_run_into_each_other() {
        assert_ne!(bytes((vec![1u8], vec![2u8])), bytes((vec![1u8, 2], Vec::<u8>::new())));
        assert_ne!(bytes(("ab", "c")), bytes(("a", "bc")));
        assert_ne!(bytes(vec![vec![1u32], vec![]]), bytes(vec![vec![], vec![1u32]]));
    }

    #[test]
    fn numbers_keep_every_bit() {
        assert_ne!(bytes(0.0), bytes(-0.0));
        assert_ne!(bytes(-1i64), bytes(1i64));
        assert_eq!(bytes((true, 0x0102_0304u32)), [1, 4, 3, 2, 1]);
    }

    #[test]
    fn every_field_is_in_it() {
        struct Three {
            a: u32,
            b: [u64; 2],
            c: Vec<bool>,
        }
        encode!(Three { a, b, c });
        let three = || Three { a: 1, b: [2, 3], c: vec![true] };
        let all = [
            three(),
            Three { a: 2, ..three() },
            Three { b: [2, 4], ..three() },
            Three { c: vec![false], ..three() },
        ];
        for i in 0..all.len() {
            for j in 0..i {
                assert_ne!(bytes(&all[i]), bytes(&all[j]), "{i} and {j}");
            }
        }
    }
}
