//! Says what is waited for when it takes long.

use std::{
    fmt::Display,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// Waits of less than this are not worth a line.
const PATIENCE: Duration = Duration::from_secs(2);

/// A wait that is under way; over when it is dropped.
pub struct Waiting(#[expect(dead_code, reason = "its end is what tells")] mpsc::Sender<()>);

impl Waiting {
    /// Begins to wait for `what`.
    pub fn until(what: impl Display) -> Self {
        let (over, is_over) = mpsc::channel();
        let what = what.to_string();
        thread::spawn(move || {
            if is_over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                tracing::warn!("waiting for {what} ...");
            }
        });
        Self(over)
    }
}
