//! The one error type of this crate: everything here is wrong input, and the message says which.

use std::path::{Path, PathBuf};

/// What can be wrong with a model's description, its weights or its pictures.
///
/// Security: no variant carries a weight's or a pixel's value; names, shapes and offsets only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text of an architecture file is not the TOML that we expect.
    #[error("architecture file: {0}")]
    ArchSyntax(String),
    /// A field of the architecture holds a value that we do not accept.
    #[error("architecture: `{field}` {why}")]
    Arch {
        /// The field, with indices where it is a list.
        field: String,
        /// What it holds, and what is accepted.
        why: String,
    },
    /// A weights file as a whole cannot be used with this architecture.
    #[error("weights: {0}")]
    WeightsFile(String),
    /// One tensor of a weights file does not fit the architecture.
    #[error("weights: tensor `{tensor}` {why}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What it is, and what was expected.
        why: String,
    },
    /// The calibration does not belong to the architecture, or asks for rings that do not exist.
    #[error("calibration: {0}")]
    Calibration(String),
    /// An evaluation is asked for that cannot be had.
    #[error("options: {0}")]
    Options(String),
    /// A text that the model does not take.
    #[error("text: {0}")]
    Text(String),
    /// A picture file is truncated, malformed, too large or of the wrong size.
    #[error("{file}: {why}")]
    Picture {
        /// The file, and the member where it is an archive.
        file: String,
        /// What is wrong, with the offset where there is one.
        why: String,
    },
    /// A file of a model's folder that is not read.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it is, and what is accepted.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn arch(field: impl Into<String>, why: impl Into<String>) -> Self {
        let (field, why) = (field.into(), why.into());
        Error::Arch { field, why }
    }

    pub(crate) fn tensor(tensor: impl Into<String>, why: impl Into<String>) -> Self {
        let (tensor, why) = (tensor.into(), why.into());
        Error::Tensor { tensor, why }
    }

    pub(crate) fn picture(file: impl Into<String>, why: impl Into<String>) -> Self {
        let (file, why) = (file.into(), why.into());
        Error::Picture { file, why }
    }

    /// The closure for `map_err` at each use of a file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Error::Io { path, source }
    }
}
