//! The server's private matrices, in each of the forms in which somebody holds them.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// One matrix in fixed point, `outputs x inputs` row-major, with its bias; wiped when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Matrix {
    /// Entries at the scale of its [`crate::plan::WeightSpec`], in two's complement.
    pub entries: Vec<u64>,
    /// `bias_rows x outputs` at the scale of the product; row `i` of the input gets bias row
    /// `i mod bias_rows`.
    pub bias: Vec<i64>,
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matrix({} entries)", self.entries.len())
    }
}

/// The masks `B` of all matrices, at the dealer and at the server; wiped when they are dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SetupMasks(pub(crate) Vec<Vec<u64>>);

impl SetupMasks {
    /// The matrices as masks of themselves, which is what their correlations look like without a dealer: `W - B` is zero, and
    /// the shares are of `A W^T`. For a check of made correlations by somebody who knows all secrets.
    pub fn themselves(matrices: &[Matrix]) -> Self {
        Self(matrices.iter().map(|matrix| matrix.entries.clone()).collect())
    }

    /// The mask of matrix `id`, row-major as the matrix.
    pub fn mask(&self, id: usize) -> &[u64] {
        &self.0[id]
    }
}

/// What a party has of the server's matrices.
pub enum Weights {
    /// The server: everything.
    Plain(Vec<Matrix>),
    /// The client: masked entries.
    Masked(Vec<Vec<u64>>),
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
    pub fn masked(&self, id: usize) -> Option<&[u64]> {
        match self {
            Weights::Masked(w) => Some(&w[id]),
            Weights::Encrypted => None,
            Weights::Plain(_) => panic!("the server has no masked weights"),
        }
    }
}
