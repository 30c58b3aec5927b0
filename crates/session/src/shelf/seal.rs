//! A party's part of a batch as it lies on the disk: enciphered, then authenticated.

use std::{
    io::{self, Read, Write},
    path::Path,
};

use sotto_crypto::{Seed, Stream};
use sotto_protocols::batch::Batch;
use zeroize::{Zeroize, Zeroizing};

use crate::{error::Error, files};

const SEALED: &[u8; 16] = b"sotto made 1\n\0\0\0";

/// Bytes that are enciphered at a time.
const PIECE: usize = 1 << 16;

pub(super) fn encipher(stream: &mut Stream, bytes: &mut [u8]) {
    let mut pad = Zeroizing::new(vec![0; PIECE.min(bytes.len())]);
    for piece in bytes.chunks_mut(PIECE) {
        let pad = &mut pad[..piece.len()];
        stream.fill(pad);
        piece.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= *pad);
    }
}

pub(super) fn write(path: &Path, [cipher, seal]: [Seed; 2], batch: Batch) -> io::Result<()> {
    let (mut stream, mut hasher) = (cipher.stream(0), blake3::Hasher::new_keyed(seal.expose()));
    let mut head = Zeroizing::new(*batch.seed.expose());
    let mut corrections = batch.corrections.unwrap_or_default();
    encipher(&mut stream, &mut *head);
    encipher(&mut stream, &mut corrections);
    let mut file = files::create(path)?;
    for part in [SEALED, &head[..], &corrections] {
        hasher.update(part);
        file.write_all(part)?;
    }
    let seal = hasher.finalize();
    hasher.zeroize();
    file.write_all(seal.as_bytes())
}

/// The enciphered seed and corrections; `None` where they are not what was sealed.
#[expect(clippy::type_complexity, reason = "a seed and what follows it")]
pub(super) fn read(
    path: &Path,
    seal: &Seed,
    corrections: usize,
) -> Result<Option<(Zeroizing<[u8; 32]>, Vec<u8>)>, Error> {
    // A running process may find a pipe in its place, whose other end nobody opens.
    let (mut file, len) = match sotto_models::files::open(path) {
        Err(sotto_models::Error::File { .. }) => return Ok(None),
        found => found?,
    };
    if len != (16 + 32 + corrections + 32) as u64 {
        return Ok(None);
    }
    let (mut magic, mut head, mut found) = ([0; 16], Zeroizing::new([0; 32]), [0; 32]);
    let mut all = vec![0; corrections];
    let mut hasher = blake3::Hasher::new_keyed(seal.expose());
    for part in [&mut magic[..], &mut head[..], &mut all] {
        file.read_exact(part).map_err(Error::io(path))?;
        hasher.update(part);
    }
    file.read_exact(&mut found).map_err(Error::io(path))?;
    // As hashes they are compared in constant time.
    let same = magic == *SEALED && hasher.finalize() == blake3::Hash::from_bytes(found);
    hasher.zeroize();
    Ok(same.then_some((head, all)))
}
