//! Pool folders of a soak without a dealer: filled, kept over kills, and restored from older copies at one party.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::error::Error;

/// What a server restores: all that it has. Its clients' keys are gone with the batches' use.
pub const SERVER: &[&str] = &["pool", "pool.keys"];

/// What a client restores: its seals, without the keys beside them. (All that both have, of one moment, would be used again:
/// nobody is left who could know.)
pub const CLIENT: &[&str] = &["pool"];

/// Copies of folders are put aside, and put back at the next turn.
#[derive(Default)]
pub struct Disks(AtomicUsize);

impl Disks {
    /// While its process is down: saves a party's folders, or restores those that were saved.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn turn(&self, party: &Path, folders: &[&str]) -> Result<(), Error> {
        let saved = |name: &str| party.join(format!("saved.{name}"));
        let restores = folders.iter().all(|name| saved(name).exists());
        for name in folders {
            let (here, there) = (party.join(name), saved(name));
            match (restores, here.exists()) {
                (true, _) => {
                    drop(fs::remove_dir_all(&here));
                    fs::rename(&there, &here).map_err(Error::io(&there))?;
                }
                (false, true) => copy(&here, &there)?,
                (false, false) => {}
            }
        }
        self.0.fetch_add(usize::from(restores), Ordering::Relaxed);
        Ok(())
    }

    /// How often folders were restored.
    pub fn restored(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).map_err(Error::io(to))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).map_err(Error::io(to))?;
    for entry in fs::read_dir(from).map_err(Error::io(from))?.flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).map_err(Error::io(to))?;
    }
    Ok(())
}
