//! Polynomials on the wire: residues packed at the bits of their prime, checked against it when they are read.

use sotto_ring::pack;

use crate::{
    error::Error,
    ring::{ALL, N, P_BITS, Q_BITS},
};

/// Bytes of a seed.
pub(crate) const SEED_BYTES: usize = 32;
/// Bytes of a polynomial mod `q`: 9.75 a coefficient.
pub(crate) const POLY_BYTES: usize = 2 * pack::packed_len(N, Q_BITS);
/// Bytes of a polynomial mod `q P`.
pub(crate) const WIDE_BYTES: usize = POLY_BYTES + pack::packed_len(N, P_BITS);

pub(crate) const BITS: [u32; 3] = [Q_BITS, Q_BITS, P_BITS];

/// Appends `poly`, of two or three residues a coefficient.
pub(crate) fn write(poly: &[u64], out: &mut Vec<u8>) {
    poly.chunks_exact(N).zip(BITS).for_each(|(residues, bits)| pack::pack(residues, bits, out));
}

/// Reads what [`write`] wrote, without a check.
///
/// # Panics
/// When `bytes` has another length than `poly` takes.
pub(crate) fn read_unchecked(mut bytes: &[u8], poly: &mut [u64]) {
    for (residues, bits) in poly.chunks_exact_mut(N).zip(BITS) {
        let (head, tail) = bytes.split_at(pack::packed_len(N, bits));
        pack::unpack(head, bits, residues);
        bytes = tail;
    }
    assert!(bytes.is_empty(), "read_unchecked: {} bytes too many", bytes.len());
}

/// [`read_unchecked`] with a check of every residue.
///
/// # Errors
/// [`Error::Residue`] for the first that is not below its prime.
pub(crate) fn read(what: &'static str, bytes: &[u8], poly: &mut [u64]) -> Result<(), Error> {
    read_unchecked(bytes, poly);
    for (residues, prime) in poly.chunks_exact(N).zip(ALL) {
        // Over all of them first, which takes no branch a residue.
        if residues.iter().fold(0, |max, &x| max.max(x)) >= prime {
            let found = residues.iter().enumerate().find(|(_, x)| **x >= prime);
            let (index, &value) = found.expect("the largest is too large");
            return Err(Error::Residue { what, index, value, prime });
        }
    }
    Ok(())
}

/// Refuses a message of another length, before anything is allocated for it.
pub(crate) fn expect(what: &'static str, got: usize, expected: usize) -> Result<(), Error> {
    if got == expected { Ok(()) } else { Err(Error::Length { what, got, expected }) }
}
