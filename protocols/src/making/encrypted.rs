//! Products by encryption, of one shape or another: what is uploaded, answered and kept.

use sotto_crypto::Seed;
use sotto_lattice::{Answer, Error, PublicKeys, Rows, SecretKey, Triple};

/// Products of which each party uploads its part of the left operand, encrypted, and answers the peer's.
pub(crate) enum Encrypted {
    /// Of matrices.
    Matrices(Triple),
    /// Of the elements of rows of this length with a number for each row.
    Rows(Rows, usize),
    /// Squares of rows of this length: both operands are the same. Each party answers with the inner products of both parts, which
    /// a square has twice.
    Squares(Rows, usize),
}

impl Encrypted {
    pub fn upload_len(&self) -> usize {
        match self {
            Self::Matrices(triple) => triple.upload_len(),
            Self::Rows(rows, _) | Self::Squares(rows, _) => rows.upload_len(),
        }
    }

    pub fn answer_len(&self) -> usize {
        match self {
            Self::Matrices(triple) => triple.answer_len(),
            Self::Rows(rows, _) => rows.scaled_len(),
            Self::Squares(rows, _) => rows.inner_len(),
        }
    }

    /// What an answer is called where its seconds are told.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Matrices(_) => "answer products",
            // Both are products of rows that are packed and answered.
            Self::Rows(..) | Self::Squares(..) => "answer rows",
        }
    }

    /// Nominal nanoseconds of the upload, of the answer to the peer's, of taking the peer's answer.
    pub fn work(&self) -> [usize; 3] {
        let work = match self {
            Self::Matrices(triple) => triple.work(),
            Self::Rows(rows, _) => rows.scaled_work(),
            Self::Squares(rows, _) => rows.inner_work(),
        };
        work.map(|ns| ns as usize)
    }

    /// The message with this party's part of the left operand.
    pub fn upload(&self, key: &SecretKey, seed: &Seed, left: &[u64]) -> Vec<u8> {
        match self {
            Self::Matrices(triple) => triple.upload(key, seed, left),
            Self::Rows(rows, _) | Self::Squares(rows, _) => rows.upload(key, seed, left),
        }
    }

    /// Whether the peer's message is an upload.
    pub fn check(&self, upload: &[u8]) -> Result<(), Error> {
        match self {
            Self::Matrices(triple) => triple.read(upload).map(drop),
            Self::Rows(rows, _) | Self::Squares(rows, _) => rows.read(upload).map(drop),
        }
    }

    /// The answer to the peer's upload from this party's part of the right operand.
    pub fn evaluate(&self, upload: &[u8], keys: &PublicKeys, seed: &Seed, right: &[u64]) -> Answer {
        let checked = "it was checked when it came";
        match self {
            Self::Matrices(triple) => {
                triple.evaluate(&triple.read(upload).expect(checked), keys, seed, right)
            }
            Self::Rows(rows, _) => {
                rows.scale(&rows.read(upload).expect(checked), keys, seed, right)
            }
            Self::Squares(rows, _) => {
                rows.inner(&rows.read(upload).expect(checked), keys, seed, right)
            }
        }
    }

    /// This party's share of all products, from the peer's answer, its own of what it answered, and both its operands.
    pub fn finish(
        &self,
        key: &SecretKey,
        answer: &[u8],
        own: &[u64],
        (left, right): (&[u64], &[u64]),
    ) -> Result<Vec<u64>, Error> {
        match self {
            Self::Matrices(triple) => triple.finish(key, answer, own, (left, right)),
            Self::Rows(rows, length) => {
                let mut share = rows.receive_scaled(key, answer)?;
                let numbers = right.iter().flat_map(|y| std::iter::repeat_n(y, *length));
                for (((share, own), x), y) in share.iter_mut().zip(own).zip(left).zip(numbers) {
                    *share = share.wrapping_add(*own).wrapping_add(x.wrapping_mul(*y));
                }
                Ok(share)
            }
            Self::Squares(rows, length) => {
                let mut share = rows.receive_inner(key, answer)?;
                for ((share, own), row) in share.iter_mut().zip(own).zip(left.chunks(*length)) {
                    let squares = row.iter().fold(*own, |s, x| s.wrapping_add(x.wrapping_mul(*x)));
                    *share = share.wrapping_add(squares);
                }
                Ok(share)
            }
        }
    }
}
