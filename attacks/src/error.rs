//! What can stop an attack from being tried; what it meets is its result, not an error.

use std::path::{Path, PathBuf};

/// Why an attack could not be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A party, a model or a link failed.
    #[error(transparent)]
    Sotto(#[from] sotto::Error),
    /// The attacked program is not there and cannot be built.
    #[error("{0}; run `cargo build -p sotto` first")]
    Program(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// What the attack builds on did not come about.
    #[error("{0}")]
    Scene(String),
}

impl Error {
    /// The closure for `map_err` at each use of a file.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Error::Io { path, source }
    }

    /// An [`Error::Scene`] of anything that can be shown.
    pub fn scene(what: impl ToString) -> Self {
        Error::Scene(what.to_string())
    }
}

impl From<sotto_net::Error> for Error {
    fn from(error: sotto_net::Error) -> Self {
        Error::Sotto(error.into())
    }
}

impl From<sotto_protocols::Error> for Error {
    fn from(error: sotto_protocols::Error) -> Self {
        Error::Sotto(error.into())
    }
}

impl From<sotto_models::Error> for Error {
    fn from(error: sotto_models::Error) -> Self {
        Error::Sotto(error.into())
    }
}
