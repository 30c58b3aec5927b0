//! What can stop a measurement.

use std::path::{Path, PathBuf};

/// Why there are no numbers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The three processes, a model or a picture failed.
    #[error(transparent)]
    Sotto(#[from] sotto::Error),
    /// The measured program is not there and cannot be built.
    #[error("{0}; run `cargo build --release -p sotto` first")]
    Program(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The options ask for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// What was measured cannot be right, so its speed means nothing.
    #[error("check failed: {0}")]
    Check(String),
}

impl Error {
    /// The closure for `map_err` at each use of a file.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Error::Io { path, source }
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
