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
    pub(super) clients: BTreeMap<String, Spent>,
}

/// What a client was charged, in all and of each model.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spent {
    pub(super) images: u64,
    bits: u64,
    /// Under the names that they had at the time; under [`EARLIER`] what an earlier version did not tell apart.
    #[serde(default)]
    models: BTreeMap<String, Used>,
}

/// The name of no model.
const EARLIER: &str = "";

impl Spent {
    /// Adds an evaluation of a model; gives all that may be of this model.
    pub(super) fn add(&mut self, model: &str, Used { images, bits }: Used) -> Used {
        if self.models.is_empty() && self.images > 0 {
            let earlier = Used { images: self.images, bits: self.bits };
            self.models.insert(EARLIER.into(), earlier);
        }
        self.images = self.images.saturating_add(images);
        self.bits = self.bits.saturating_add(bits);
        let of = self.models.entry(model.into()).or_default();
        of.images = of.images.saturating_add(images);
        of.bits = of.bits.saturating_add(bits);
        let (of, earlier) = (*of, self.models.get(EARLIER).copied().unwrap_or_default());
        Used {
            images: of.images.saturating_add(earlier.images),
            bits: of.bits.saturating_add(earlier.bits),
        }
    }

    /// The same with so many images more, of whichever model, of which an image reveals `most` bits.
    pub(super) fn ahead(&self, images: u64, most: impl Fn(&str) -> u64) -> Self {
        let bits = |model: &str| images.saturating_mul(most(model));
        let dearest = self.models.keys().map(|model| bits(model)).max();
        let mut all = self.clone();
        all.images = all.images.saturating_add(images);
        all.bits = all.bits.saturating_add(dearest.unwrap_or(0));
        for (model, used) in all.models.iter_mut().filter(|(model, _)| *model != EARLIER) {
            used.images = used.images.saturating_add(images);
            used.bits = used.bits.saturating_add(bits(model));
        }
        all
    }
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
