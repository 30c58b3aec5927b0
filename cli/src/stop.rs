//! A process is asked to stop by SIGINT, SIGTERM or SIGHUP. A second signal ends it at once.

use std::thread;

pub use sotto_session::stop::{Stop, Working};

use crate::error::{Error, INTERRUPTED};

/// Stops at a signal; to be called once in a process.
///
/// # Errors
/// [`Error::Config`] when signals cannot be caught.
pub fn on_signal() -> Result<Stop, Error> {
    let stop = Stop::default();
    let (asked, mut again) = (stop.clone(), false);
    let handler = move || {
        if std::mem::replace(&mut again, true) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        let asked = asked.clone();
        // This thread is left to hear of a second signal.
        tracing::info!("asked to stop: what runs may finish, a second signal ends it at once");
        thread::spawn(move || asked.ask());
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Error::Config(format!("signals cannot be caught: {e}")))?;
    Ok(stop)
}
