//! Where files really lie.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use std::os::unix::fs::MetadataExt;

use crate::error::Error;

/// The path of a file that is or will be there, with all links followed: a file that is written by renaming another over it
/// would take a link's place, and a lock beside a link is not the one beside the file.
///
/// # Errors
/// [`Error::Io`] when its folder is not there, or it is a link that leads nowhere.
pub fn real(path: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(path) {
        Err(e) if e.kind() == ErrorKind::NotFound && !path.is_symlink() => {}
        found => return found.map_err(Error::io(path)),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let found = fs::canonicalize(folder).map_err(Error::io(folder))?;
    Ok(found.join(path.file_name().unwrap_or_default()))
}

/// [`real`] for a file that a setting has a process write: its scratch file and its lock lie beside it, with these endings.
///
/// # Errors
/// Those of [`real`]; [`Error::Config`] where the file would be its own lock or scratch file.
pub fn written(setting: &str, path: &Path) -> Result<PathBuf, Error> {
    let path = real(path)?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some(ending @ ("lock" | "part")) => Err(Error::Config(format!(
            "`{setting}` is {}; files of that ending lie beside it, take another than `.{ending}`",
            path.display()
        ))),
        _ => Ok(path),
    }
}

/// Makes a new file that its owner alone reads; an error where something is there, be it a link or a pipe.
///
/// # Errors
/// Those of the system.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Opens a file of ours that processes take turns by its lock, made where it is missing, its owner's alone. `why` says what it is for.
///
/// # Errors
/// [`Error::Config`] where something else is there: a link would lead to a file that is not ours, who opened a pipe would wait for its
/// other end; [`Error::Io`].
pub fn lockable(path: &Path, why: &str) -> Result<File, Error> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        let path = path.display();
        return Err(Error::Config(format!("{path} is no plain file; take it away, {why}")));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(Error::io(path))
}

/// Removes a file, which no crash brings back.
///
/// # Errors
/// [`Error::Io`] when it stays.
pub fn remove(path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let gone = fs::remove_file(path).and_then(|()| File::open(folder)?.sync_all());
    gone.map_err(Error::io(path))
}

/// Makes a folder that its owner alone reads, where it is missing.
///
/// # Errors
/// [`Error::Io`]; [`Error::Config`] where it is another user's, or others may write to it, `what` it is.
pub fn private_folder(path: &Path, what: &str) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(Error::io(path))?;
    #[cfg(unix)]
    {
        let found = fs::metadata(path).map_err(Error::io(path))?;
        let (owner, us) = (MetadataExt::uid(&found), rustix::process::geteuid().as_raw());
        let path = path.display();
        if owner != us {
            return Err(Error::Config(format!(
                "the {what} {path} is another user's (number {owner}, and this process runs as {us}): who has it may put anything \
                 there; take another, or chown it"
            )));
        }
        if MetadataExt::mode(&found) & 0o022 != 0 {
            return Err(Error::Config(format!(
                "others may write to the {what} {path}; chmod 700 it"
            )));
        }
    }
    Ok(())
}

/// Writes a file anew, so that it is there whole, the old one or the new, whatever ends the program: `write` makes another beside
/// it, which takes its place. `path` is as [`real`] gives it.
///
/// # Errors
/// Those of `write`; [`Error::Io`].
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let part = path.with_extension("part");
    // What lies there is not followed or waited for: it may be a link or a pipe.
    match fs::remove_file(&part) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(&part)(e)),
        _ => write(&part)?,
    }
    let place = || {
        File::open(&part)?.sync_all()?;
        fs::rename(&part, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    place().map_err(Error::io(path))
}

/// Makes a pipe, by no program: a process that is about to run one has the locks of other tests.
#[cfg(test)]
#[cfg(unix)]
pub(crate) fn pipe(at: &Path) {
    let (mode, kind) = (rustix::fs::Mode::RUSR, rustix::fs::FileType::Fifo);
    rustix::fs::mknodat(rustix::fs::CWD, at, kind, mode, 0).unwrap();
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn scratch_files_are_made_anew_and_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let [path, part, other] =
            ["w", "w.part", "other"].map(|n| fs::canonicalize(dir.path()).unwrap().join(n));
        fs::write(&other, "kept").unwrap();
        symlink(&other, &part).unwrap();
        let write = |part: &Path| fs::write(part, "new").map_err(Error::io(part));
        replace(&path, write).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(!path.is_symlink() && !part.is_symlink());
        // Who opened a pipe would wait for its other end.
        pipe(&part);
        replace(&path, write).unwrap();
        for ending in ["lock", "part"] {
            let refused = written("usage_file", &path.with_extension(ending)).unwrap_err();
            assert!(refused.to_string().contains("usage_file"), "{refused}");
        }
        assert_eq!(written("usage_file", &path).unwrap(), path);
    }

    /// As root the folder is given away; who is not takes the system's own.
    #[test]
    fn a_folder_of_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = match std::os::unix::fs::chown(dir.path(), Some(65534), None) {
            Ok(()) => dir.path(),
            Err(_) => Path::new("/"),
        };
        let refused = private_folder(theirs, "pool folder").unwrap_err().to_string();
        assert!(refused.contains("pool folder") && refused.contains("another user's"), "{refused}");
        private_folder(&tempfile::tempdir().unwrap().path().join("ours"), "pool folder").unwrap();
    }

    #[test]
    fn links_are_followed_to_files_that_are_or_will_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(base.join("far")).unwrap();
        symlink(base.join("far"), base.join("near")).unwrap();
        assert_eq!(real(&base.join("near/new.json")).unwrap(), base.join("far/new.json"));
        fs::write(base.join("far/old.json"), "").unwrap();
        symlink("far/old.json", base.join("link.json")).unwrap();
        assert_eq!(real(&base.join("link.json")).unwrap(), base.join("far/old.json"));
        symlink("nowhere", base.join("dangling")).unwrap();
        assert!(real(&base.join("dangling")).is_err());
        assert!(real(&base.join("no/folder")).is_err());
    }
}
