//! Where a shelf is: batches in a pool folder, keys outside of all that it holds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{error::Error, files};

/// A pool folder: all of a party's, or the part of one model, a folder in it. Keys never lie in what may be copied or restored as the
/// pool folder: those of `pool` are in `pool.keys`, those of its `x` in `pool.keys/x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    all: PathBuf,
    model: Option<String>,
}

impl Place {
    /// A pool folder as a whole.
    pub fn whole(all: impl Into<PathBuf>) -> Self {
        Self { all: all.into(), model: None }
    }

    /// What is one model's of a pool folder.
    pub fn of_model(all: impl Into<PathBuf>, model: impl Into<String>) -> Self {
        Self { all: all.into(), model: Some(model.into()) }
    }

    /// The same, relative to `base` where it is relative.
    pub fn within(&self, base: &Path) -> Self {
        Self { all: base.join(&self.all), ..self.clone() }
    }

    /// Where batches lie.
    pub fn folder(&self) -> PathBuf {
        self.model.as_ref().map_or_else(|| self.all.clone(), |model| self.all.join(model))
    }

    /// Where keys lie, made where it is missing.
    pub(super) fn keys(&self) -> Result<PathBuf, Error> {
        files::private_folder(&self.all, "pool folder")?;
        let all = fs::canonicalize(&self.all).map_err(Error::io(&self.all))?;
        let mut name = all.file_name().unwrap_or_default().to_owned();
        name.push(".keys");
        let mut keys = all.with_file_name(name);
        own(&keys)?;
        if let Some(model) = &self.model {
            keys.push(model);
            own(&keys)?;
        }
        Ok(keys)
    }
}

/// Makes a folder of keys that this user alone may write to.
fn own(keys: &Path) -> Result<(), Error> {
    if keys.is_symlink() {
        return Err(Error::Config(format!(
            "{} is a link; take it away, the keys of the pool folder are kept there",
            keys.display()
        )));
    }
    files::private_folder(keys, "folder of keys")
}
