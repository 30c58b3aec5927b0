//! Folders of batches: one process owns one, by a lock, and one party, by name.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use crate::{error::Error, files};

/// Longest name of an owner that is read.
const OWNER: u64 = 1 << 10;

/// A folder of batches of one party; its lock is held while it lives.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens the folder, made where it is missing, for its `owner`.
    ///
    /// # Errors
    /// [`Error::Config`] when another process or another party uses it, others may write to it, or its file of the owner is a link or a
    /// pipe; [`Error::Io`].
    pub fn open(path: &Path, owner: &str) -> Result<Self, Error> {
        files::private_folder(path, "pool folder")?;
        let path = &fs::canonicalize(path).map_err(Error::io(path))?;
        let (shown, file) = (path.display(), path.join("owner"));
        let mut lock = files::lockable(&file, "the name of the folder's owner is written there")?;
        if lock.try_lock().is_err() {
            return Err(Error::Config(format!(
                "another process uses the pool folder {shown}; give each process its own"
            )));
        }
        let mut known = String::new();
        (&lock).take(OWNER).read_to_string(&mut known).map_err(Error::io(&file))?;
        match known.trim() {
            "" => lock
                .write_all(format!("{owner}\n").as_bytes())
                .and_then(|()| lock.sync_all())
                .map_err(Error::io(&file))?,
            name if name == owner => {}
            other => {
                return Err(Error::Config(format!(
                    "the pool folder {shown} is that of `{}`, not of `{owner}`; give each its own",
                    sotto_net::printable(other, 160)
                )));
            }
        }
        Ok(Self { path: path.clone(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_process_and_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool");
        let first = Folder::open(&path, "server").unwrap();
        let second = Folder::open(&path, "server").err().unwrap().to_string();
        assert!(second.contains("another process"), "{second}");
        #[cfg(unix)]
        {
            let owner = fs::metadata(path.join("owner")).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&owner) & 0o777, 0o600);
        }
        drop(first);
        let other = Folder::open(&path, "second").err().unwrap().to_string();
        assert!(other.contains("`server`") && other.contains("`second`"), "{other}");
        drop(Folder::open(&path, "server").unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let open = Folder::open(dir.path(), "server").err().unwrap().to_string();
        assert!(open.contains("chmod 700"), "{open}");
    }

    #[cfg(unix)]
    #[test]
    fn an_owner_that_is_a_link_or_a_pipe_is_neither_followed_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (pool, other) = (dir.path().join("pool"), dir.path().join("other"));
        drop(Folder::open(&pool, "server").unwrap());
        fs::write(&other, "").unwrap();
        let make: [&dyn Fn(&Path); 3] = [
            &|at| std::os::unix::fs::symlink(&other, at).unwrap(),
            &|at| std::os::unix::fs::symlink(dir.path().join("nowhere"), at).unwrap(),
            &crate::files::pipe,
        ];
        for make in make {
            fs::remove_file(pool.join("owner")).unwrap();
            make(&pool.join("owner"));
            let refused = Folder::open(&pool, "server").err().unwrap().to_string();
            assert!(refused.contains("owner is no plain file"), "{refused}");
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "");
        assert!(!dir.path().join("nowhere").exists());
    }
}
