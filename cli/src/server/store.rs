//! Batches on disk: corrections alone, without the seed that makes them of use.
//!
//! The dealer gives a batch's seed once, when the batch is about to be used. So a copy of this folder (a backup, a
//! snapshot, a second replica) can bring nothing back: of two processes that hold one file, one gets the seed and the
//! other burns the file. A file carries a checksum; a damaged one is burnt, not used.
//!
//! One process owns the folder, by a lock, and one server, by name.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use sotto_models::calibration::hex;
use sotto_session::folder::Folder;
use zeroize::Zeroizing;

use crate::{
    dealer_link::Names,
    error::Error,
    files,
    messages::{Epoch, Tag},
};

const MAGIC: &[u8; 16] = b"sotto batch 3\n\0\0";
/// Magic, number, ticket, tag, the other seed's fingerprint, checksum.
const HEADER: usize = 16 + 8 + 16 + 16 + 32 + 32;

/// The batches of one epoch and plan in a folder.
pub struct Store {
    folder: std::sync::Arc<Folder>,
    prefix: String,
}

impl Store {
    /// The store of an epoch and a plan; touches nothing yet.
    pub fn new(folder: std::sync::Arc<Folder>, epoch: &Epoch, plan: &[u8; 32]) -> Self {
        let prefix = format!("{}-{}-", hex(epoch), hex(&plan[..8]));
        Self { folder, prefix }
    }

    fn path(&self, id: u64) -> PathBuf {
        self.folder.path().join(format!("{}{id}.batch", self.prefix))
    }

    /// Batches that an earlier process left, lowest first; files of other epochs and plans, cut and damaged
    /// ones are burnt.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read or cleaned.
    pub fn recover(&self) -> Result<Vec<Names>, Error> {
        let folder = self.folder.path();
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            let entry = entry.map_err(Error::io(folder))?;
            if entry.file_type().map_err(Error::io(folder))?.is_dir() {
                continue;
            }
            let path = entry.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if !name.ends_with(".batch") && !name.ends_with(".part") {
                continue;
            }
            let id = (name.strip_prefix(&self.prefix))
                .and_then(|rest| rest.strip_suffix(".batch"))
                .and_then(|id| id.parse().ok());
            match id.and_then(|id| read_names(&path, id)) {
                Some(names) => found.push(names),
                None => fs::remove_file(&path).map_err(Error::io(&path))?,
            }
        }
        found.sort_unstable_by_key(|names| names.id);
        Ok(found)
    }

    /// Writes a batch's corrections, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Config`] when the disk does not take it; nothing of it stays there.
    pub fn put(&self, names: &Names, corrections: &[u8]) -> Result<(), Error> {
        let path = self.path(names.id);
        let part = path.with_extension("part");
        let write = || -> std::io::Result<()> {
            let mut file = files::create(&part)?;
            file.write_all(&header(names, corrections))?;
            file.write_all(corrections)?;
            file.sync_all()?;
            fs::rename(&part, &path)
        };
        write().map_err(|e| {
            // A full disk must not keep the half-written file.
            drop(fs::remove_file(&part));
            Error::Config(format!(
                "batch {} cannot be stored as {}: {e}; free space there or unset `pool_folder`",
                names.id,
                path.display()
            ))
        })
    }

    /// Reads a batch's corrections and burns its file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read or burnt, [`Error::Check`] when it is damaged; its file is gone then, too.
    pub fn take(&self, id: u64) -> Result<Vec<u8>, Error> {
        let path = self.path(id);
        // A pipe in its place would be waited for.
        let read = sotto_models::files::read(&path, u64::MAX);
        self.burn(id)?;
        let mut bytes = match read {
            Err(sotto_models::Error::File { .. }) => Vec::new(),
            read => read?,
        };
        let names = parse(&bytes, id);
        let sound = names.is_some_and(|names| {
            let (head, corrections) = bytes.split_at(HEADER);
            *head == header(&names, corrections)
        });
        if !sound {
            return Err(Error::Check(format!(
                "{} is damaged: batch {id} is burnt",
                path.display()
            )));
        }
        bytes.drain(..HEADER);
        Ok(bytes)
    }

    /// Removes a batch's file.
    ///
    /// # Errors
    /// [`Error::Io`] when it stays.
    pub fn burn(&self, id: u64) -> Result<(), Error> {
        files::remove(&self.path(id))
    }
}

fn header(names: &Names, corrections: &[u8]) -> [u8; HEADER] {
    let mut head = [0; HEADER];
    head[..16].copy_from_slice(MAGIC);
    head[16..24].copy_from_slice(&names.id.to_le_bytes());
    head[24..40].copy_from_slice(&*names.ticket);
    head[40..56].copy_from_slice(&names.tag);
    head[56..88].copy_from_slice(&names.peer);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head[..88]).update(corrections);
    head[88..].copy_from_slice(hasher.finalize().as_bytes());
    head
}

fn parse(bytes: &[u8], id: u64) -> Option<Names> {
    let head = bytes.get(..HEADER)?;
    let rest = head.strip_prefix(MAGIC)?.strip_prefix(&id.to_le_bytes())?;
    let ticket: [u8; 16] = rest[..16].try_into().ok()?;
    let tag: Tag = rest[16..32].try_into().ok()?;
    let peer = rest[32..64].try_into().ok()?;
    Some(Names { id, ticket: Zeroizing::new(ticket), tag, peer, corrections: 0 })
}

fn read_names(path: &Path, id: u64) -> Option<Names> {
    let mut head = [0; HEADER];
    let (mut file, len) = sotto_models::files::open(path).ok()?;
    file.read_exact(&mut head).ok()?;
    let corrections = len.checked_sub(HEADER as u64)?;
    Some(Names { corrections, ..parse(&head, id)? })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn store(folder: &Arc<Folder>) -> Store {
        Store::new(Arc::clone(folder), &[1; 16], &[2; 32])
    }

    fn names(id: u64) -> Names {
        let ticket = Zeroizing::new([id as u8; 16]);
        Names { id, ticket, tag: [3; 16], peer: [4; 32], corrections: 0 }
    }

    fn opened() -> (tempfile::TempDir, Arc<Folder>) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(&dir.path().join("pool"), "server").unwrap());
        (dir, folder)
    }

    #[test]
    fn a_batch_is_taken_once() {
        let (_dir, folder) = opened();
        let store = store(&folder);
        store.put(&names(10), &[1, 2, 3]).unwrap();
        store.put(&names(9), &[]).unwrap();
        let found = store.recover().unwrap();
        let seen: Vec<_> = found.iter().map(|n| (n.id, *n.ticket, n.tag, n.corrections)).collect();
        assert_eq!(seen, [(9, [9; 16], [3; 16], 0), (10, [10; 16], [3; 16], 3)]);
        assert_eq!(store.take(10).unwrap(), [1, 2, 3]);
        let gone = store.take(10).unwrap_err().to_string();
        assert!(gone.contains("10.batch") && gone.contains("No such file"), "{gone}");
        assert!(store.take(9).unwrap().is_empty());
        assert!(store.recover().unwrap().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_batch_is_not_waited_for() {
        let (_dir, folder) = opened();
        let store = store(&folder);
        let pipe = |id| {
            let (mode, kind) = (rustix::fs::Mode::RUSR, rustix::fs::FileType::Fifo);
            rustix::fs::mknodat(rustix::fs::CWD, store.path(id), kind, mode, 0).unwrap();
        };
        store.put(&names(3), &[7; 50]).unwrap();
        fs::remove_file(store.path(3)).unwrap();
        pipe(3);
        let refused = store.take(3).unwrap_err().to_string();
        assert!(refused.contains("damaged") && !store.path(3).exists(), "{refused}");
        pipe(4);
        assert!(store.recover().unwrap().is_empty() && !store.path(4).exists());
    }

    #[test]
    fn what_another_epoch_a_crash_or_damage_left_is_burnt() {
        let (_dir, folder) = opened();
        let store = store(&folder);
        let left = ["old-plan-3.batch", &format!("{}4.part", store.prefix), "x.batch"];
        for name in left {
            fs::write(folder.path().join(name), [0; 100]).unwrap();
        }
        fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
        fs::write(store.path(5), [0; 20]).unwrap();
        store.put(&names(6), &[7; 50]).unwrap();
        store.put(&names(7), &[7; 50]).unwrap();
        // A file under another number is not that number's.
        fs::rename(store.path(7), store.path(8)).unwrap();
        assert_eq!(store.recover().unwrap().len(), 1);
        assert!(left.iter().all(|n| !folder.path().join(n).exists()));
        assert!(folder.path().join("notes.txt").exists());
        // Any one bit, wherever it is.
        for at in 0..HEADER + 50 {
            store.put(&names(6), &[7; 50]).unwrap();
            let mut bytes = fs::read(store.path(6)).unwrap();
            bytes[at] ^= 4;
            fs::write(store.path(6), bytes).unwrap();
            let damaged = store.take(6).unwrap_err().to_string();
            assert!(damaged.contains("damaged") && damaged.contains("burnt"), "{at}: {damaged}");
            assert!(!store.path(6).exists());
        }
    }
}
