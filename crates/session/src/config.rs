//! Configuration files: one small TOML a party. What they have in common.

mod memory;
mod own;

use std::path::Path;

use serde::Deserialize;

use crate::error::Error;
pub use crate::source::Source;
pub use memory::Memory;
pub use own::{Certificates, Own, Peer, Pinned, dialling};

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
        match (self.extension(), dealer) {
            (None, Some(dealer)) => Ok(Some(dealer)),
            (Some(_), None) => Ok(None),
            (None, None) => Err(Error::Config(
                "a [dealer] table is missing; without a dealer, `source = \"peer\"` on both sides \
                 has server and client make correlations by themselves"
                    .into(),
            )),
            (Some(_), Some(_)) => Err(Error::Config(format!(
                "`source = \"{}\"` needs no dealer: take the [dealer] table away, or the `source`",
                self.name()
            ))),
        }
    }
}

/// Reads a configuration; relative paths in it are relative to its folder.
///
/// # Errors
/// [`Error::Model`] when it cannot be read, [`Error::Config`] for a pipe or a device, and with line and field when it is malformed.
pub fn load<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, Error> {
    let text = sotto_models::files::text(path).map_err(|e| match e {
        e @ sotto_models::Error::Io { .. } => Error::Model(e),
        e => Error::Config(e.to_string()),
    })?;
    // It quotes the file, which somebody else may have written.
    let quoted = |e: toml::de::Error| -> String {
        let lines = e.to_string();
        let lines = lines.lines().map(|line| sotto_net::printable(line, LINE));
        lines.collect::<Vec<_>>().join("\n")
    };
    toml::from_str(&text).map_err(|e| Error::Config(format!("{}: {}", path.display(), quoted(e))))
}

/// Longest line of an error that is shown, in characters.
const LINE: usize = 400;

/// Whether `model` in a client's configuration is a hash, which it insists on, and no name.
pub fn is_hash(model: &str) -> bool {
    model.len() == 64 && model.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The folder of a configuration, to which paths in it are relative.
pub fn folder(config: &Path) -> &Path {
    config.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_plain_files_and_errors_steer_no_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("client.toml");
        crate::files::pipe(&pipe);
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let refused = load::<toml::Table>(path).unwrap_err();
            assert!(matches!(&refused, Error::Config(why) if why.contains("no plain file")));
        }
        let text = dir.path().join("server.toml");
        std::fs::write(&text, "model = \"a\u{1b}[2J\u{202e}b\"\n").unwrap();
        let refused = load::<toml::Table>(&text).unwrap_err().to_string();
        assert!(refused.contains("\\u{1b}[2J\\u{202e}b"), "{refused}");
        assert!(!refused.contains(['\u{1b}', '\u{202e}']), "{refused}");
    }
}
