//! The file in which it is written down what each client was charged.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::Used;
use crate::{error::Error, files};

/// The file.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Charged {
    /// Whose it is.
    pub(super) server: String,
    pub(super) clients: BTreeMap<String, Used>,
}

/// Makes the file at `path` ours, by a lock beside it.
pub(super) fn lock(path: &Path) -> Result<File, Error> {
    let beside = path.with_extension("lock");
    let why = format!("the lock of {} is made there", path.display());
    let file = files::lockable(&beside, &why)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::Config(format!(
            "another process uses {}; give each server process its own `usage_file`",
            path.display()
        ))),
    }
}

/// Longest file that is read, in bytes.
const LONGEST: u64 = 64 << 20;

pub(super) fn read(path: &Path) -> Result<Charged, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => {
            let bad = |e: serde_json::Error| Error::Config(format!("{}: {e}", path.display()));
            serde_json::from_slice(&sotto_models::files::read(path, LONGEST)?).map_err(bad)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Charged::default()),
        Err(e) => Err(Error::io(path)(e)),
    }
}
