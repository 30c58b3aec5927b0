//! The server's private matrices, in each of the forms in which somebody holds them: packed, as a model has a hundred million words.

use std::fmt;

use sotto_ring::pack::{self, Packed};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Widths in which entries in the clear are kept: one for all matrices of nearly all models, so that the time of a product does
/// not tell how large the entries of a matrix are.
const KEPT: [u32; 2] = [24, 64];

/// The words of one matrix, row-major, packed; wiped when they are dropped. No `Debug`: they are secret.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Words {
    bytes: Vec<u8>,
    count: usize,
    width: u32,
    signed: bool,
}

impl Words {
    /// `count` words of `width` bits, as [`pack::pack`] packs them.
    pub(crate) fn packed(bytes: Vec<u8>, count: usize, width: u32) -> Self {
        Self { bytes, count, width, signed: false }
    }

    /// These words in two's complement.
    fn signed(words: &[u64]) -> Self {
        let fits = |width: u32| {
            let reach = 1u64 << (width - 1);
            // Without a branch on a word.
            words.iter().fold(true, |fit, w| fit & (w.wrapping_add(reach) >> (width - 1) <= 1))
        };
        let width = if fits(KEPT[0]) { KEPT[0] } else { KEPT[1] };
        let mut bytes = Vec::with_capacity(pack::packed_len(words.len(), width));
        pack::pack(words, width, &mut bytes);
        Self { bytes, count: words.len(), width, signed: true }
    }

    pub(crate) fn view(&self) -> Packed<'_> {
        let words = Packed::new(&self.bytes, self.count, self.width);
        if self.signed { words.signed() } else { words }
    }
}

/// One matrix in fixed point, `outputs x inputs` row-major, with its bias; wiped when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Matrix {
    entries: Words,
    /// `bias_rows x outputs` at the scale of the product; row `i` of the input gets bias row
    /// `i mod bias_rows`.
    pub bias: Vec<i64>,
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matrix({} entries)", self.entries.count)
    }
}

impl Matrix {
    /// Of entries at the scale of its [`crate::plan::WeightSpec`], in two's complement. They take 3 bytes each, where one of them is
    /// 2^23 or larger 8; those given are wiped.
    pub fn new(entries: impl Into<Vec<u64>>, bias: Vec<i64>) -> Self {
        let entries = Zeroizing::new(entries.into());
        Self { entries: Words::signed(&entries), bias }
    }

    /// The entries, in two's complement of 64 bits.
    pub fn entries(&self) -> Packed<'_> {
        self.entries.view()
    }

    /// Bytes that the entries take in memory.
    pub fn memory(&self) -> usize {
        self.entries.bytes.len()
    }
}

/// The masks `B` of all matrices, at the dealer; wiped when they are dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SetupMasks(pub(crate) Vec<Words>);

impl SetupMasks {
    /// The matrices as masks of themselves, which is what their correlations look like without a dealer: `W - B` is zero, and
    /// the shares are of `A W^T`. For a check of made correlations by somebody who knows all secrets.
    pub fn themselves(matrices: &[Matrix]) -> Self {
        Self(matrices.iter().map(|matrix| matrix.entries.clone()).collect())
    }

    /// The mask of matrix `id`, row-major as the matrix.
    pub fn mask(&self, id: usize) -> Packed<'_> {
        self.0[id].view()
    }
}

/// The masked matrices, in the bytes in which they came.
pub struct Masked {
    pub(crate) message: Vec<u8>,
    /// Of each matrix the first byte, the number of entries and their width.
    pub(crate) places: Vec<(usize, usize, u32)>,
}

impl Masked {
    /// Matrix number `id`.
    pub fn matrix(&self, id: usize) -> Packed<'_> {
        let (start, count, width) = self.places[id];
        Packed::new(&self.message[start..], count, width)
    }
}

/// What a party has of the server's matrices.
pub enum Weights {
    /// The server: everything.
    Plain(Vec<Matrix>),
    /// The client: masked entries.
    Masked(Masked),
    /// The client without a dealer: nothing online. It has multiplied with encrypted entries when the batch was made.
    Encrypted,
}

impl Weights {
    /// The server's matrix number `id`.
    ///
    /// # Panics
    /// At the client: a gate that asks there is wrong.
    pub fn plain(&self, id: usize) -> &Matrix {
        &self.all_plain()[id]
    }

    /// All of the server's matrices.
    ///
    /// # Panics
    /// As [`Weights::plain`].
    pub fn all_plain(&self) -> &[Matrix] {
        match self {
            Weights::Plain(w) => w,
            Weights::Masked(_) | Weights::Encrypted => panic!("the client has no plain weights"),
        }
    }

    /// The client's masked matrix number `id`, where there is a dealer.
    ///
    /// # Panics
    /// At the server.
    pub fn masked(&self, id: usize) -> Option<Packed<'_>> {
        match self {
            Weights::Masked(masked) => Some(masked.matrix(id)),
            Weights::Encrypted => None,
            Weights::Plain(_) => panic!("the server has no masked weights"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_take_three_bytes_unless_one_needs_more() {
        let edge = 1i64 << 23;
        for (largest, bytes) in
            [(edge - 1, 3), (-edge, 3), (edge, 8), (-edge - 1, 8), (i64::MIN, 8)]
        {
            let words: Vec<u64> = [0, -1, largest, 5, 7].iter().map(|&w| w as u64).collect();
            let matrix = Matrix::new(words.clone(), Vec::new());
            assert_eq!(matrix.memory(), bytes * words.len(), "{largest}");
            assert_eq!(matrix.entries().to_words(), words);
        }
    }
}
