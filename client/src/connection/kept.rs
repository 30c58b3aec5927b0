//! Masked weights in a file of the client's, so that a model crosses once, over restarts of either side, too.
//!
//! Security: the weights under masks whose seed dealer and server hold are uniform to everybody else, whoever has the file. It
//! is sealed with a key that this client's identity alone makes, over the server's name and what the weights are of: a
//! file that was changed, or is another client's or server's, is as none. One that is copied or restored is of the masks that it
//! names: the server sends the weights anew where it has others, and masks are never those of other matrices.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::config::Config;
use sotto_session::{error::Error, files, messages::Masks};

const MAGIC: &[u8; 16] = b"sotto weights 1\n";
/// Magic, masks, model, matrices, seal.
const HEADER: usize = 16 + 16 + 32 + 32 + 32;

/// What the files of all versions begin with.
const OURS: usize = 14;

/// Whether a file may be replaced: there is none, it is empty, or one of masked weights.
fn is_ours(path: &Path) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else { return true };
    let mut head = [0; OURS];
    let begins = |mut file: File| file.read_exact(&mut head).is_ok() && head == MAGIC[..OURS];
    found.is_file() && (found.len() == 0 || File::open(path).is_ok_and(begins))
}

/// What masked weights are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Of {
    /// The name of their masks.
    pub masks: Masks,
    /// Salted hash of the server's matrices.
    pub model: [u8; 32],
    /// The plans' hash of the matrices.
    pub matrices: [u8; 32],
}

/// The file of a client and a server. No `Debug`: it holds the seal's key.
pub struct Kept {
    path: PathBuf,
    key: Zeroizing<[u8; 32]>,
    server: String,
    /// Most bytes that are read.
    most: u64,
}

impl Kept {
    /// The file that a configuration names, if any.
    ///
    /// # Errors
    /// [`Error::Config`] without a dealer, and for another file than one of masked weights; [`Error::Io`] when the file's folder is not there.
    pub fn of(config: &Config) -> Result<Option<Self>, Error> {
        let Some(file) = &config.weights_file else { return Ok(None) };
        if config.dealer.is_none() {
            return Err(Error::Config(
                "`weights_file` needs a dealer; with `source = \"peer\"` leave it out".into(),
            ));
        }
        let key = config.identity.secret("masked weights");
        let (path, server) = (files::written("weights_file", file)?, config.server.name.clone());
        if !is_ours(&path) {
            return Err(Error::Config(format!(
                "`weights_file` is {}, which is no file of masked weights and would be replaced; name another, or take it away",
                path.display()
            )));
        }
        Ok(Some(Self { path, key, server, most: config.memory.saturating_mul(1 << 20) }))
    }

    /// The weights in the file, and what they are of; `None` where there is no sound one, which is no error: they are sent anew.
    pub fn read(&self) -> Option<(Of, Vec<u8>)> {
        let found = self.sound();
        if found.is_none() && self.path.exists() {
            let path = self.path.display();
            tracing::warn!(
                "{path} holds no masked weights of `{}` for this client; they are fetched anew",
                self.server
            );
        }
        found
    }

    fn sound(&self) -> Option<(Of, Vec<u8>)> {
        let mut bytes = sotto_models::files::read(&self.path, self.most).ok()?;
        let head: [u8; HEADER] = *bytes.first_chunk()?;
        let rest = head.strip_prefix(MAGIC)?;
        let of = Of {
            masks: rest[..16].try_into().ok()?,
            model: rest[16..48].try_into().ok()?,
            matrices: rest[48..80].try_into().ok()?,
        };
        bytes.drain(..HEADER);
        let seal: [u8; 32] = rest[80..].try_into().ok()?;
        // As hashes they are compared in constant time.
        (self.seal(&of, &bytes) == blake3::Hash::from_bytes(seal)).then_some((of, bytes))
    }

    /// Writes the weights, whole or not at all. A disk that does not take them costs a transfer, no result.
    pub fn write(&self, of: &Of, weights: &[u8]) {
        let written = files::replace(&self.path, |part| {
            let seal = self.seal(of, weights);
            let write = || {
                let mut file = files::create(part)?;
                let head: [&[u8]; 5] = [MAGIC, &of.masks, &of.model, &of.matrices, seal.as_bytes()];
                head.iter().try_for_each(|field| file.write_all(field))?;
                file.write_all(weights)
            };
            write().map_err(|e| {
                drop(fs::remove_file(part));
                Error::io(part)(e)
            })
        });
        if let Err(e) = written {
            tracing::warn!("the masked weights are not kept, and will be sent again: {e}");
        }
    }

    fn seal(&self, of: &Of, weights: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(MAGIC).update(&(self.server.len() as u64).to_le_bytes());
        hasher.update(self.server.as_bytes()).update(&of.masks).update(&of.model);
        hasher.update(&of.matrices).update(weights).finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_kind_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.key");
        assert!(is_ours(&path));
        for (bytes, ours) in [("", true), ("-----BEGIN PRIVATE KEY-----", false), ("so", false)] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(is_ours(&path), ours, "{bytes}");
        }
        fs::write(&path, MAGIC).unwrap();
        assert!(is_ours(&path) && !is_ours(dir.path()));
    }

    fn kept(path: &Path, key: u8, server: &str) -> Kept {
        let key = Zeroizing::new([key; 32]);
        Kept { path: path.to_owned(), key, server: server.into(), most: 1 << 20 }
    }

    #[test]
    fn what_was_written_comes_back_to_the_same_client_and_server_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.weights");
        let of = Of { masks: [1; 16], model: [2; 32], matrices: [3; 32] };
        assert!(kept(&path, 7, "server").read().is_none(), "no file");
        kept(&path, 7, "server").write(&of, b"some weights");
        assert_eq!(kept(&path, 7, "server").read(), Some((of, b"some weights".to_vec())));
        assert!(kept(&path, 8, "server").read().is_none(), "another client's");
        assert!(kept(&path, 7, "serves").read().is_none(), "another server's");
        let small = Kept { most: 100, ..kept(&path, 7, "server") };
        assert!(small.read().is_none(), "larger than there is memory for");

        let sound = fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut changed = sound.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            assert!(kept(&path, 7, "server").read().is_none(), "byte {at} was changed");
            fs::write(&path, &sound[..at]).unwrap();
            assert!(kept(&path, 7, "server").read().is_none(), "cut at {at}");
        }
        kept(&path, 7, "server").write(&Of { masks: [4; 16], ..of }, b"");
        assert_eq!(kept(&path, 7, "server").read(), Some((Of { masks: [4; 16], ..of }, vec![])));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing beside it");
    }
}
