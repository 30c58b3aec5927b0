//! A folder whose files we read: bounded, and nothing outside of it.

use std::{
    io::ErrorKind,
    path::{Component, Path, PathBuf},
};

use sotto_models::files;

use crate::error::{Error, shown};

/// A folder of Hugging Face.
pub(crate) struct Folder {
    root: PathBuf,
    /// The hub's cache keeps a snapshot's files here, and links to them.
    blobs: Option<PathBuf>,
}

impl Folder {
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::File`] where it is none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let root = path.canonicalize().map_err(Error::io(path))?;
        if !root.is_dir() {
            let why = "is a file; give the folder that holds config.json";
            return Err(Error::file(path.display().to_string(), why));
        }
        let above = root.parent().filter(|p| p.ends_with("snapshots")).and_then(Path::parent);
        let blobs = above.map(|p| p.join("blobs"));
        Ok(Folder { root, blobs })
    }

    /// A folder within this one.
    ///
    /// # Errors
    /// [`Error::File`] for one that is not there or leads out of it.
    pub fn within(&self, name: &str) -> Result<Self, Error> {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        let real = self.root.join(name).canonicalize().ok();
        let real = real.filter(|p| p.is_dir() && p.starts_with(&self.root));
        match real {
            Some(root) if Path::new(name).components().all(plain) => {
                Ok(Folder { root, blobs: self.blobs.clone() })
            }
            _ => Err(Error::file(shown(name), "is not a folder within this one")),
        }
    }

    /// The folder's own name, or the model's where it is a snapshot of the hub's cache (`models--owner--name`).
    pub fn name(&self) -> String {
        let folder = match &self.blobs {
            Some(blobs) => blobs.parent().unwrap_or(&self.root),
            None => &self.root,
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.rsplit("--").next().unwrap_or_default().to_owned()
    }

    /// The file `name`, such as `1_Pooling/config.json`; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::File`] for a name or a link that leads out of the folder, and for what is no plain file.
    pub fn find(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        let outside = || {
            let why = "is outside of the folder; every file must lie in it: copy it there";
            Error::file(shown(name), why)
        };
        if name.is_empty() || !Path::new(name).components().all(plain) {
            return Err(outside());
        }
        let path = self.root.join(name);
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(e) if e.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                return Ok(None);
            }
            Err(e) => return Err(Error::io(&path)(e)),
        };
        let inside = real.starts_with(&self.root)
            || self.blobs.as_ref().is_some_and(|blobs| real.starts_with(blobs));
        if !inside {
            return Err(outside());
        }
        if !real.is_file() {
            return Err(Error::file(shown(name), "is not a file"));
        }
        Ok(Some(real))
    }

    /// What the file `name` holds, if it is there.
    ///
    /// # Errors
    /// As [`Folder::find`]; [`Error::File`] for a file of more than `most` bytes, before it is read.
    pub fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(path) = self.find(name)? else { return Ok(None) };
        bounded(&path, name, most).map(Some)
    }
}

/// What a plain file holds.
///
/// # Errors
/// [`Error::File`] for one of more than `most` bytes, or that is none, before it is read; [`Error::Io`].
pub(crate) fn bounded(path: &Path, name: &str, most: u64) -> Result<Vec<u8>, Error> {
    files::read(path, most).map_err(|e| match e {
        sotto_models::Error::Io { path, source } => Error::Io { path, source },
        sotto_models::Error::File { why, .. } => Error::file(name, why),
        other => other.into(),
    })
}
