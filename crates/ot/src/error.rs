//! What a peer's message can be refused for.

/// A message that is not the one that is due. Nothing secret is in it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Another length than the one that is due.
    #[error("{what}: {found} bytes, {due} are due; do both parties run the same version and plan?")]
    Length {
        /// Which message.
        what: &'static str,
        /// Bytes that came.
        found: usize,
        /// Bytes that were due.
        due: usize,
    },
    /// Bytes that encode no point, or the identity, which would make a key that everybody knows.
    #[error(
        "{what}: point {index} is not a canonical Ristretto point other than the identity; the peer is faulty"
    )]
    Point {
        /// Which message.
        what: &'static str,
        /// Which of its points.
        index: usize,
    },
    /// A message of another place in the order: repeated, left out or swapped.
    #[error(
        "{what}: it is of transfer {found}, {due} is next; messages may not be repeated or left out"
    )]
    Order {
        /// Which message.
        what: &'static str,
        /// The transfer with which it begins.
        found: u64,
        /// The one that is next here.
        due: u64,
    },
}

/// Refuses a message of another length.
pub(crate) fn check_length(what: &'static str, found: usize, due: usize) -> Result<(), Error> {
    match found == due {
        true => Ok(()),
        false => Err(Error::Length { what, found, due }),
    }
}
