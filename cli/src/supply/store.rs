//! Batches on disk, one file each, readable by us alone; a file is gone before its batch can be used.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use sotto_crypto::Seed;
use sotto_models::calibration::hex;
use sotto_protocols::batch::Batch;
use zeroize::Zeroizing;

use super::Terms;
use crate::error::Error;

/// A folder of batches of one party, plan and epoch.
pub struct Store {
    folder: PathBuf,
    prefix: String,
}

impl Store {
    /// The store of `terms` in `folder`; touches nothing yet.
    pub fn new(folder: &Path, terms: &Terms) -> Self {
        let prefix = format!(
            "{}-{}-{}-",
            terms.role.name(),
            hex(&terms.epoch),
            hex(&terms.plan.hash()[..8])
        );
        Self { folder: folder.to_owned(), prefix }
    }

    fn path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{}{id}.batch", self.prefix))
    }

    /// Numbers that an earlier process left, lowest first; files of other epochs or plans are burnt.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be made, read or cleaned.
    pub fn recover(&self) -> Result<Vec<u64>, Error> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder).map_err(Error::io(&self.folder))?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(Error::io(&self.folder))? {
            let path = entry.map_err(Error::io(&self.folder))?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
                continue;
            };
            let id = (name.strip_prefix(&self.prefix))
                .and_then(|rest| rest.strip_suffix(".batch"))
                .and_then(|id| id.parse().ok());
            match id {
                Some(id) => found.push(id),
                None if name.ends_with(".batch") || name.ends_with(".part") => {
                    fs::remove_file(&path).map_err(Error::io(&path))?;
                }
                None => {}
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Writes a batch, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Config`] when the disk does not take it; nothing of it stays there.
    pub fn put(&self, batch: &Batch) -> Result<(), Error> {
        let path = self.path(batch.id);
        let part = path.with_extension("part");
        let write = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&part)?;
            file.write_all(batch.seed.expose())?;
            file.write_all(batch.corrections.as_deref().unwrap_or_default())?;
            file.sync_all()?;
            fs::rename(&part, &path)
        };
        write().map_err(|e| {
            // A full disk must not keep the half-written file.
            drop(fs::remove_file(&part));
            Error::Config(format!(
                "batch {} cannot be stored in {}: {e}; free space there or unset `pool_folder`",
                batch.id,
                self.folder.display()
            ))
        })
    }

    /// Reads a batch and burns its file, synced, before anybody can use it.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read or burnt, also when another process was faster: of two
    /// that take the same number, one finds its file gone.
    pub fn take(&self, id: u64) -> Result<Batch, Error> {
        let path = self.path(id);
        let mut seed = Zeroizing::new([0; 32]);
        let mut corrections = Vec::new();
        let mut read = || -> std::io::Result<()> {
            let mut file = File::open(&path)?;
            file.read_exact(&mut *seed)?;
            file.read_to_end(&mut corrections)?;
            fs::remove_file(&path)?;
            File::open(&self.folder)?.sync_all()
        };
        read().map_err(Error::io(&path))?;
        Ok(Batch {
            id,
            seed: Seed::from_bytes(*seed),
            corrections: (!corrections.is_empty()).then_some(corrections),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path) -> Store {
        Store { folder: folder.to_owned(), prefix: "client-epoch-plan-".into() }
    }

    fn batch(id: u64, corrections: Option<Vec<u8>>) -> Batch {
        Batch { id, seed: Seed::from_bytes([id as u8; 32]), corrections }
    }

    #[test]
    fn a_batch_is_taken_once_by_whoever_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (store(folder.path()), store(folder.path()));
        ours.put(&batch(10, Some(vec![1, 2, 3]))).unwrap();
        ours.put(&batch(9, None)).unwrap();
        assert_eq!(ours.recover().unwrap(), [9, 10]);
        assert_eq!(theirs.recover().unwrap(), [9, 10]);
        let taken = ours.take(10).unwrap();
        assert_eq!((taken.id, taken.corrections), (10, Some(vec![1, 2, 3])));
        assert_eq!(taken.seed.expose(), &[10; 32]);
        let gone = theirs.take(10).err().unwrap().to_string();
        assert!(gone.contains("10.batch") && gone.contains("No such file"), "{gone}");
        assert_eq!(theirs.take(9).unwrap().corrections, None);
        assert!(ours.recover().unwrap().is_empty());
    }

    #[test]
    fn what_another_epoch_or_a_crash_left_is_burnt() {
        let folder = tempfile::tempdir().unwrap();
        let ours = store(folder.path());
        let names =
            ["client-old-plan-3.batch", "client-epoch-plan-4.part", "client-epoch-plan-x.batch"];
        for name in names {
            fs::write(folder.path().join(name), [0; 40]).unwrap();
        }
        fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
        fs::write(folder.path().join("client-epoch-plan-5.batch"), [0; 20]).unwrap();
        assert_eq!(ours.recover().unwrap(), [5]);
        assert!(names.iter().all(|n| !folder.path().join(n).exists()));
        assert!(folder.path().join("notes.txt").exists());
        assert!(ours.take(5).is_err(), "it is too short to hold a seed");
    }
}
