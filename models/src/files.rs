//! Files of a folder that somebody else may have made: plain ones alone, and bounded before they are read.

use std::{fs::File, io::Read, path::Path};

use crate::Error;

/// Longest text of a model's folder that is read, in bytes: a description or calibration crosses in one message of as many.
pub const MAX_TEXT: u64 = 4 << 20;

/// Opens a plain file; its length, too.
///
/// # Errors
/// [`Error::File`] for a pipe or a device, which is not opened; [`Error::Io`].
pub fn open(path: &Path) -> Result<(File, u64), Error> {
    // Who opens a pipe waits for its other end.
    let found = std::fs::metadata(path).map_err(Error::io(path))?;
    if !found.is_file() {
        let why = "is no plain file; put the file itself there".into();
        return Err(Error::File { path: path.to_owned(), why });
    }
    Ok((File::open(path).map_err(Error::io(path))?, found.len()))
}

/// What a plain file of at most `most` bytes holds.
///
/// # Errors
/// [`Error::File`] for a longer one, before anything of it is read, and those of [`open`].
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let refuse = |why: String| Err(Error::File { path: path.to_owned(), why });
    let (file, len) = open(path)?;
    let mut bytes = Vec::new();
    if len <= most {
        // At once, so that a large file is not copied as it grows; the last read finds its end.
        bytes.reserve(usize::try_from(len).unwrap_or(0) + 32);
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(path))?;
    }
    let size = len.max(bytes.len() as u64);
    if size > most {
        return refuse(format!("has {size} bytes; at most {most} are read"));
    }
    Ok(bytes)
}

/// What a plain file of text holds, of at most [`MAX_TEXT`] bytes.
///
/// # Errors
/// As [`read`]; [`Error::File`] for one that is no text.
pub fn text(path: &Path) -> Result<String, Error> {
    let refuse = |e| Error::File { path: path.to_owned(), why: format!("is no text: {e}") };
    String::from_utf8(read(path, MAX_TEXT)?).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn plain_files_of_their_length_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(text(&path).unwrap(), "four");
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert!(read(&path, 3).unwrap_err().to_string().contains("4 bytes; at most 3"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(text(&path).unwrap_err().to_string().contains("no text"));
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert_eq!(read(&link, 1).unwrap(), [0xff]);
        let zero = folder.path().join("zero");
        symlink("/dev/zero", &zero).unwrap();
        // Without its other end a pipe would be waited for without end.
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for other in [&zero, &pipe, &folder.path().to_owned()] {
            assert!(text(other).unwrap_err().to_string().contains("plain file"), "{other:?}");
        }
        assert!(matches!(text(&folder.path().join("none")), Err(Error::Io { .. })));
    }
}
