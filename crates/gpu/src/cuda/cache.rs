//! What was compiled once is kept: a card's code by the hash of everything that it follows from, in the user's cache folder.
//!
//! A file that is damaged is refused by the driver's loader or by its own hash, and compiled again. Who may write to the folder
//! may run code as the user on the card, as with every such cache: it is the user's own.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Bytes of the hash before a file's code.
const HASH: usize = 32;

/// The user's folder; `None` where the environment names none.
pub(super) fn folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(folder.join("sotto/cubins"))
}

/// The key of a compilation.
pub(super) fn key(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("sotto cubin 1");
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The code that was kept under a key, if it is whole.
pub(super) fn get(folder: &Path, key: &str) -> Option<Vec<u8>> {
    let mut file = fs::read(folder.join(key)).ok()?;
    let code = file.split_off(HASH.min(file.len()));
    (file == blake3::hash(&code).as_bytes()).then_some(code)
}

/// Keeps code under a key. A cache that cannot be written is no cache, and no error.
pub(super) fn put(folder: &Path, key: &str, code: &[u8]) {
    // Renamed, so that nobody reads a half.
    let part = folder.join(format!("{key}.{}", std::process::id()));
    let file = [&blake3::hash(code).as_bytes()[..], code].concat();
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&part, file));
    if written.and_then(|()| fs::rename(&part, folder.join(key))).is_err() {
        let _ = fs::remove_file(&part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_code_comes_back_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = &folder.path().join("not/yet/there");
        // Parts are told apart by their lengths.
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        let key = key(&["sm_90a", "text"]);
        assert_eq!(get(folder, &key), None);
        put(folder, &key, b"code");
        assert_eq!(get(folder, &key).as_deref(), Some(&b"code"[..]));
        assert_eq!(fs::read_dir(folder).expect("made").count(), 1, "no part is left");
        for damaged in [&b""[..], b"short", &[0; 36]] {
            fs::write(folder.join(&key), damaged).expect("written");
            assert_eq!(get(folder, &key), None);
        }
        // Nowhere to write is no error.
        put(&folder.join(&key).join("below a file"), &key, b"code");
    }
}
