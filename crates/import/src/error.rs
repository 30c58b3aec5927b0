//! The one error type of this crate: everything here is wrong input, and the message says which.

use std::path::{Path, PathBuf};

/// What can be wrong with a folder that is to be imported, or with a text that is to be numbered.
///
/// Security: no variant carries a weight or a part of a text; names, shapes and counts only. What comes out of a file is
/// escaped and cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of a configuration file holds what we do not accept.
    #[error("{file}: `{field}` {why}")]
    Field {
        /// The file, within the folder.
        file: String,
        /// The field.
        field: String,
        /// What it holds, what is accepted, and what to do.
        why: String,
    },
    /// A file as a whole cannot be used.
    #[error("{file}: {why}")]
    File {
        /// The file, within the folder.
        file: String,
        /// What is wrong, what is accepted, and what to do.
        why: String,
    },
    /// One tensor of the checkpoint cannot be used.
    #[error("{file}: tensor `{tensor}` {why}")]
    Tensor {
        /// The file that holds it.
        file: String,
        /// Its name there.
        tensor: String,
        /// What it is, and what is expected.
        why: String,
    },
    /// The checkpoint lacks tensors, or has some that we have no place for.
    #[error("{0}")]
    Tensors(String),
    /// A text that the model does not take.
    #[error("text {0}")]
    Text(String),
    /// The description that the folder makes is no model that we run.
    #[error(transparent)]
    Model(#[from] sotto_models::Error),
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
    pub(crate) fn file(file: impl Into<String>, why: impl Into<String>) -> Self {
        let (file, why) = (file.into(), why.into());
        Error::File { file, why }
    }

    /// The closure for `map_err` at each use of a file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Error::Io { path, source }
    }
}

/// A word out of a file for a message: escaped, and cut where it is long.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(100).flat_map(char::escape_debug).collect();
    if text.chars().nth(100).is_some() {
        shown.push_str("..");
    }
    shown
}

/// A few names for a message.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut list: Vec<String> = names.iter().take(8).map(|n| shown(n)).collect();
    if names.len() > 8 {
        list.push(format!("and {} more", names.len() - 8));
    }
    list.join(", ")
}
