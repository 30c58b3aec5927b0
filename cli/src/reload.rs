//! A service takes a changed configuration at a signal: clients, certificates and limits change without a restart.

use std::{path::Path, thread};

use serde::Deserialize;

use crate::{config, error::Error};

/// Reads the configuration at `path` at each SIGUSR1 and gives it to `take`, which says what was changed. One that is wrong is
/// named in the log and changes nothing.
///
/// # Errors
/// [`Error::Config`] when the signal cannot be caught.
#[cfg(unix)]
pub fn on_signal<T: for<'a> Deserialize<'a>>(
    path: &Path,
    take: impl Fn(T) -> Result<String, Error> + Send + 'static,
) -> Result<(), Error> {
    use signal_hook::{consts::SIGUSR1, iterator::Signals};
    let refused = |e| Error::Config(format!("the signal to reload cannot be caught: {e}"));
    let mut signals = Signals::new([SIGUSR1]).map_err(refused)?;
    let path = path.to_owned();
    let again = move || {
        for _ in signals.forever() {
            match config::load(&path).and_then(&take) {
                Ok(done) => tracing::info!("{} was read again: {done}", path.display()),
                Err(e) => {
                    let file = path.display();
                    tracing::error!("{file} was not taken: {e}; the configuration stays as it was");
                }
            }
        }
    };
    thread::Builder::new().name("reload".into()).spawn(again).map_err(refused)?;
    Ok(())
}

/// There is no such signal here.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn on_signal<T: for<'a> Deserialize<'a>>(
    _: &Path,
    _: impl Fn(T) -> Result<String, Error> + Send + 'static,
) -> Result<(), Error> {
    Ok(())
}

/// What was done, in words: who is new, who is gone, and what waits for a restart.
pub fn said<'a>(
    before: impl Iterator<Item = &'a str>,
    now: impl Iterator<Item = &'a str>,
    rest_is_same: bool,
) -> String {
    let (before, now): (Vec<_>, Vec<_>) = (before.collect(), now.collect());
    let only = |these: &[&str], those: &[&str]| {
        let all: Vec<_> = these.iter().filter(|name| !those.contains(name)).copied().collect();
        if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
    };
    let (new, gone) = (only(&now, &before), only(&before, &now));
    let rest = if rest_is_same { "" } else { "; the rest of what was changed waits for a restart" };
    format!("{new} is new, {gone} is gone, certificates and limits are those of the file{rest}")
}
