//! How many bytes wait to be sent, and how a sender waits until they are fewer.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex, MutexGuard};

/// The bytes that one link has taken from its user and not handed on yet.
#[derive(Default)]
pub(crate) struct Backlog {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    queued: u64,
    /// Somebody waits: nobody else costs a call into the system.
    watched: bool,
}

/// Why there is no room.
pub(crate) enum Full<E> {
    /// Not one byte went out for so long, or not enough until the end.
    Stuck(Duration),
    Dead(E),
}

impl Backlog {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that are queued now; the error is what would have been queued.
    pub fn add(&self, bytes: u64, limit: u64) -> Result<(), u64> {
        let mut state = self.lock();
        let queued = state.queued + bytes;
        if queued > limit {
            return Err(queued);
        }
        state.queued = queued;
        Ok(())
    }

    /// Counts bytes that were handed on.
    pub fn release(&self, bytes: u64) {
        let mut state = self.lock();
        state.queued = state.queued.saturating_sub(bytes);
        if state.watched {
            self.moved.notify_all();
        }
    }

    /// Has whoever waits look at `alive` again.
    pub fn wake(&self) {
        // Locked, so that it happens before somebody looks or after it began to wait.
        let _state = self.lock();
        self.moved.notify_all();
    }

    /// Waits until at most `at_most` bytes are queued, as long as some go out within each
    /// `patience`, `end` has not come and `alive` has nothing against it.
    pub fn wait<E>(
        &self,
        at_most: u64,
        patience: Duration,
        end: Option<Instant>,
        alive: impl Fn() -> Result<(), E>,
    ) -> Result<(), Full<E>> {
        let mut state = self.lock();
        let begun = Instant::now();
        let (mut least, mut since) = (state.queued, begun);
        state.watched = true;
        let ended = loop {
            if let Err(error) = alive() {
                break Err(Full::Dead(error));
            }
            if state.queued <= at_most {
                break Ok(());
            }
            if state.queued < least {
                (least, since) = (state.queued, Instant::now());
            }
            let quiet = since.elapsed();
            let mut left = patience.saturating_sub(quiet);
            let mut waited = quiet;
            if let Some(to_end) = end.map(|end| end.saturating_duration_since(Instant::now())) {
                // However much moves: one byte now and then is no way to hold us.
                (left, waited) =
                    if to_end < left { (to_end, begun.elapsed()) } else { (left, quiet) };
            }
            if left.is_zero() {
                break Err(Full::Stuck(waited));
            }
            let woken = self.moved.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        };
        state.watched = false;
        ended
    }

    #[cfg(test)]
    pub fn queued(&self) -> u64 {
        self.lock().queued
    }

    /// Whether somebody waits.
    #[cfg(test)]
    pub fn is_watched(&self) -> bool {
        self.lock().watched
    }
}
