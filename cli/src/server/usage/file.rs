//! The file in which it is written down what each client was charged.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::Used;
use crate::error::Error;

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
    let file = File::create(&beside).map_err(Error::io(&beside))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::Config(format!(
            "another process uses {}; give each server process its own `usage_file`",
            path.display()
        ))),
    }
}

pub(super) fn read(path: &Path) -> Result<Charged, Error> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let bad = |e: serde_json::Error| Error::Config(format!("{}: {e}", path.display()));
            serde_json::from_str(&text).map_err(bad)
        }
        // A link that leads nowhere is not a first start.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => {
            Ok(Charged::default())
        }
        Err(e) => Err(Error::io(path)(e)),
    }
}
