//! What can be wrong with a peer's bytes.

/// A peer's message that does not fit. It holds no secret: lengths and public residues alone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message of another length than the shapes give.
    #[error(
        "{what} has {got} bytes, the plan says {expected}; use the same model and version on both sides"
    )]
    Length {
        /// Which message.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length that the shapes give.
        expected: usize,
    },
    /// A residue that is not below its prime.
    #[error(
        "{what}: residue {index} is {value}, it must be below {prime}; the peer's program is broken or lies: end the connection"
    )]
    Residue {
        /// Which message.
        what: &'static str,
        /// The number of the residue in its polynomial.
        index: usize,
        /// What was sent.
        value: u64,
        /// The modulus.
        prime: u64,
    },
}
