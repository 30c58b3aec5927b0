//! Batches that two parties made, on the disk of each, until they are used.
//!
//! Each party's part lies in its pool folder, sealed under a key that the *other* party drew. That one keeps the key, in a folder
//! beside its own pool folder, never in it, and gives it once, when both are about to use the batch: it takes the key off its disk before it sends
//! it. A second key, of the party's own, lies there, too, and goes with it. So of one disk nothing can be opened; a pool folder that
//! is copied, restored or swapped has no keys beside it, or its seals were given away already; what either party lacks is burnt at
//! both. A crash leaves a seal without its key or a key without its seal: both are removed at the next start.
//!
//! Security: a seal's key hangs from this party's identity, both keys, and what the batch is of: peer, plan, model, tag. It is used for
//! one file. The streams are ChaCha12's, the seal is a keyed BLAKE3 over what is written (encrypt, then authenticate). Where it ends: SECURITY.md.

mod place;
mod record;
mod seal;
#[cfg(test)]
mod tests;
mod waiting;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use sotto_crypto::Seed;
use sotto_models::calibration::hex;
use sotto_protocols::{batch::Batch, plan::Plan};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    error::Error,
    files,
    folder::Folder,
    messages::{FolderId, Secret, Tag},
};
pub use place::Place;
use record::RECORD;
pub use record::{Of, Record, described};
pub use waiting::LONGEST;

const KEY: &[u8; 16] = b"sotto key 1\n\0\0\0\0";

/// A file of keys: magic, record, the one of the peer's part, our own, seal.
const KEY_FILE: usize = 16 + RECORD + 2 * 32 + 32;

/// A pool folder of made batches, and the folder of keys beside it. No `Debug`: it holds a secret.
pub struct Shelf {
    folder: Folder,
    keys: PathBuf,
    /// This party's own.
    secret: Seed,
    id: FolderId,
    waiting: Mutex<BTreeMap<Tag, Record>>,
}

/// A batch whose other key is given away: it is opened now, or never. With it goes its file.
pub struct Taken<'a> {
    shelf: &'a Shelf,
    /// What it is.
    pub record: Record,
    /// What the other party's part is sealed with.
    pub key: Secret,
    /// What ours is sealed with, beside the peer's.
    own: Secret,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let path = self.shelf.sealed(&self.record.tag);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{} is of no more use, and stays: {e}", path.display());
            }
            _ => {}
        }
    }
}

impl Shelf {
    /// Opens a pool folder for its `owner`, whose `secret` seals; what a crash, a copy or damage left without its other half is burnt.
    ///
    /// # Errors
    /// Those of [`Folder::open`]; [`Error::Config`] for a folder of keys that is a link, or that others may write to; [`Error::Io`].
    pub fn open(place: &Place, owner: &str, secret: &[u8; 32]) -> Result<Self, Error> {
        let keys = place.keys()?;
        let folder = Folder::open(&place.folder(), owner)?;
        let (secret, id) = (Seed::from_bytes(*secret), id(&keys)?);
        let shelf = Self { folder, keys, secret, id, waiting: Mutex::default() };
        shelf.recover()?;
        Ok(shelf)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Tag, Record>> {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn sealed(&self, tag: &Tag) -> PathBuf {
        self.folder.path().join(format!("{}.batch", hex(tag)))
    }

    fn key(&self, tag: &Tag) -> PathBuf {
        self.keys.join(format!("{}.key", hex(tag)))
    }

    fn recover(&self) -> Result<(), Error> {
        let mut waiting = self.lock();
        for path in listed(&self.keys, "key")? {
            let found = self.read_keys(&path).filter(|(record, _)| path == self.key(&record.tag));
            match found.filter(|(record, _)| is_plain(&self.sealed(&record.tag))) {
                Some((record, _)) => drop(waiting.insert(record.tag, record)),
                None => files::remove(&path)?,
            }
        }
        for path in listed(self.folder.path(), "batch")? {
            if !waiting.keys().any(|tag| path == self.sealed(tag)) {
                tracing::warn!("{} has no key beside it, and is burnt", path.display());
                files::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Stores this party's part, sealed under the peer's key `sealed`, and `keeps` the one of the peer's part; whole or not at all. What
    /// is handed over is enciphered in its place.
    ///
    /// # Errors
    /// [`Error::Config`] when the disk does not take it; nothing of it stays there.
    pub fn put(
        &self,
        record: Record,
        batch: Batch,
        sealed: &Secret,
        keeps: &Secret,
    ) -> Result<(), Error> {
        let (path, key) = (self.sealed(&record.tag), self.key(&record.tag));
        if path.exists() || key.exists() {
            return Err(Error::Check(format!("there is a batch of this name: {}", path.display())));
        }
        let write = || {
            let own = Secret::random()?;
            let cipher = self.cipher(&record, [sealed, &own]);
            let seal = |part: &Path| seal::write(part, cipher, batch).map_err(Error::io(part));
            files::replace(&path, seal)?;
            let keys = |part: &Path| self.write_keys(part, &record, [keeps, &own]);
            files::replace(&key, |part| keys(part).map_err(Error::io(part)))
        };
        if let Err(e) = write() {
            // A full disk must not keep what was half written.
            for path in [&path, &key] {
                drop(fs::remove_file(path));
                drop(fs::remove_file(path.with_extension("part")));
            }
            return Err(Error::Config(format!(
                "a batch cannot be stored in {}: {e}; free space there or unset `pool_folder`",
                self.folder.path().display()
            )));
        }
        self.lock().insert(record.tag, record);
        Ok(())
    }

    /// Takes a batch for its one use, which must be of this peer, model and plan: its key is off the disk when this returns. `None` where
    /// there is none.
    ///
    /// # Errors
    /// [`Error::Io`] when the key stays: then it must not be given.
    pub fn take(&self, of: &Of, tag: &Tag) -> Result<Option<Taken<'_>>, Error> {
        self.take_where(tag, |found| found == of)
    }

    fn take_where(&self, tag: &Tag, is: impl Fn(&Of) -> bool) -> Result<Option<Taken<'_>>, Error> {
        let mut waiting = self.lock();
        let theirs = waiting.get(tag).is_some_and(|record| is(&record.of));
        let Some(record) = theirs.then(|| waiting.remove(tag)).flatten() else { return Ok(None) };
        drop(waiting);
        let path = self.key(tag);
        let found = self.read_keys(&path).filter(|(found, _)| *found == record);
        files::remove(&path)?;
        if found.is_none() {
            drop(fs::remove_file(self.sealed(tag)));
        }
        Ok(found.map(|(record, [key, own])| Taken { shelf: self, record, key, own }))
    }

    /// Burns a batch of a peer's, of whatever plan; gives whether there was one.
    ///
    /// # Errors
    /// As [`Shelf::take`].
    pub fn burn(&self, peer: &str, tag: &Tag) -> Result<bool, Error> {
        Ok(self.take_where(tag, |of| of.peer == peer)?.is_some())
    }

    /// What this party's part is enciphered and authenticated with: the seed of streams, and the key of the seal.
    fn cipher(&self, record: &Record, [sealed, own]: [&Secret; 2]) -> [Seed; 2] {
        let fields: [&[u8]; 3] = [&record.encode(), sealed.0.expose(), own.0.expose()];
        let key = self.secret.derive_fields("made batch", &fields);
        ["cipher", "seal"].map(|purpose| key.derive(purpose, 0))
    }

    fn write_keys(&self, path: &Path, record: &Record, keys: [&Secret; 2]) -> io::Result<()> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE));
        bytes.extend_from_slice(KEY);
        bytes.extend_from_slice(&record.encode());
        keys.iter().for_each(|key| bytes.extend_from_slice(key.0.expose()));
        let seal = self.key_seal(&bytes);
        bytes.extend_from_slice(seal.as_bytes());
        files::create(path)?.write_all(&bytes)
    }

    fn read_keys(&self, path: &Path) -> Option<(Record, [Secret; 2])> {
        let bytes = Zeroizing::new(sotto_models::files::read(path, KEY_FILE as u64).ok()?);
        let (sealed, seal) = bytes.split_at_checked(KEY_FILE - 32)?;
        // As hashes they are compared in constant time.
        if self.key_seal(sealed) != blake3::Hash::from_bytes(seal.try_into().ok()?) {
            return None;
        }
        let rest = sealed.strip_prefix(KEY)?;
        let record = Record::decode(rest.first_chunk()?)?;
        let mut keys = rest[RECORD..].iter().copied();
        let mut next = || Some(Secret(Seed::read(|| keys.next().ok_or(())).ok()?));
        Some((record, [next()?, next()?]))
    }

    fn key_seal(&self, bytes: &[u8]) -> blake3::Hash {
        let key = self.secret.derive("file of a key", 0);
        let mut hasher = blake3::Hasher::new_keyed(key.expose());
        let seal = hasher.update(bytes).finalize();
        hasher.zeroize();
        seal
    }
}

impl Taken<'_> {
    /// Opens this party's part with the peer's key, for its one use as batch number `id`; its file is gone.
    ///
    /// # Errors
    /// [`Error::Check`] where it is damaged, another's, or of another key; [`Error::Io`].
    pub fn open(self, id: u64, plan: &Plan, sealed: &Secret) -> Result<Batch, Error> {
        let path = self.shelf.sealed(&self.record.tag);
        let [cipher, seal] = self.shelf.cipher(&self.record, [sealed, &self.own]);
        let read = seal::read(&path, &seal, plan.correction_bytes());
        files::remove(&path)?;
        let (mut head, mut corrections) = read?.ok_or_else(|| {
            let path = path.display();
            Error::Check(format!("{path} is damaged, or its key is another: the batch is burnt"))
        })?;
        let mut stream = cipher.stream(0);
        seal::encipher(&mut stream, &mut *head);
        seal::encipher(&mut stream, &mut corrections);
        let mut head = head.iter().copied();
        let seed = Seed::read(|| head.next().ok_or(())).expect("it has 32 bytes");
        Ok(Batch { id, seed, corrections: Some(corrections) })
    }
}

/// The folder's name, drawn when there is none.
fn id(keys: &Path) -> Result<FolderId, Error> {
    let path = keys.join("id");
    if let Ok(bytes) = sotto_models::files::read(&path, 16)
        && let Ok(id) = bytes.try_into()
    {
        return Ok(id);
    }
    let drawn = Seed::random()?;
    let id: FolderId = std::array::from_fn(|i| drawn.expose()[i]);
    let write = |part: &Path| files::create(part)?.write_all(&id);
    files::replace(&path, |part| write(part).map_err(Error::io(part)))?;
    Ok(id)
}

/// Whether it is a file, and no link or pipe.
fn is_plain(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}

/// Files of an ending in a folder; what was half written is removed. Folders are nobody's batch or key, whatever they are called.
fn listed(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Error> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        if entry.file_type().map_err(Error::io(folder))?.is_dir() {
            continue;
        }
        let path = entry.path();
        match path.extension().and_then(|found| found.to_str()) {
            Some("part") => files::remove(&path)?,
            Some(found) if found == ending => all.push(path),
            _ => {}
        }
    }
    Ok(all)
}
