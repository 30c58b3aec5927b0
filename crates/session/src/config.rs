//! Configuration files: one small TOML a party. What they have in common.

mod memory;
mod own;

use std::path::Path;

use serde::Deserialize;

use crate::error::Error;
pub use crate::source::Source;
pub use memory::{MAKING, batch_memory, least, needs, places};
pub use own::{Certificates, Own, Peer, dialling};

/// Batches that are kept ready, where a configuration does not say.
pub fn default_pool() -> usize {
    2
}

/// MiB for batches, where a configuration does not say.
pub fn default_memory() -> u64 {
    4096
}

impl Source {
    /// The dealer of a configuration, where it is the source.
    ///
    /// # Errors
    /// [`Error::Config`] where a dealer is missing, or given and not the source.
    pub fn dealer<'a>(&self, dealer: &'a Option<Peer>) -> Result<Option<&'a Peer>, Error> {
        match (self, dealer) {
            (Source::Dealer, Some(dealer)) => Ok(Some(dealer)),
            (Source::Peer, None) => Ok(None),
            (Source::Dealer, None) => Err(Error::Config(
                "a [dealer] table is missing; without a dealer, `source = \"peer\"` on both sides \
                 has server and client make correlations by themselves"
                    .into(),
            )),
            (Source::Peer, Some(_)) => Err(Error::Config(
                "`source = \"peer\"` needs no dealer: take the [dealer] table away, or the `source`"
                    .into(),
            )),
        }
    }
}

/// Reads a configuration; relative paths in it are relative to its folder.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Config`] with line and field when it is malformed.
pub fn load<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    toml::from_str(&text).map_err(|e| Error::Config(format!("{}: {e}", path.display())))
}

/// Whether `model` in a client's configuration is a hash, which it insists on, and no name.
pub fn is_hash(model: &str) -> bool {
    model.len() == 64 && model.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The folder of a configuration, to which paths in it are relative.
pub fn folder(config: &Path) -> &Path {
    config.parent().unwrap_or(Path::new("."))
}
