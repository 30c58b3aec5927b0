//! Whether a link is in use: one over which nothing is evaluated or made gives way where others have no room.

use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// A link that waits for its client's next request may be ended after so long.
const IDLE: Duration = Duration::from_secs(5);

/// What its client is told.
const WHY: &str = "others wait for the room of this link, over which nothing was evaluated";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// It is being set up, for which there is a time.
    Opens,
    /// It waits for its client.
    Waits,
    /// It was asked for something.
    Asks,
    /// It evaluates, or makes a batch.
    Works,
}

struct State {
    does: Does,
    /// When it was set up, or last had worked.
    since: Instant,
}

/// A link's.
pub struct Standing {
    state: Mutex<State>,
    /// Longest that it may ask without anything coming of it.
    patience: Duration,
    end: Box<dyn Fn(&str) + Send + Sync>,
}

/// Work over a link, until it is dropped.
pub struct Works<'a>(&'a Standing);

impl Drop for Works<'_> {
    fn drop(&mut self) {
        *self.0.lock() = State { does: Does::Asks, since: Instant::now() };
    }
}

impl Standing {
    /// Of a link that is being set up, and that `end` ends.
    pub fn new(patience: Duration, end: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { does: Does::Opens, since: Instant::now() });
        Self { state, patience, end: Box::new(end) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Receives a request, as `receive` does.
    pub fn asked<T>(&self, receive: impl FnOnce() -> T) -> T {
        let mut state = self.lock();
        if state.does == Does::Opens {
            state.since = Instant::now();
        }
        state.does = Does::Waits;
        drop(state);
        let received = receive();
        self.lock().does = Does::Asks;
        received
    }

    /// Something is evaluated or made from now on.
    pub fn works(&self) -> Works<'_> {
        self.lock().does = Does::Works;
        Works(self)
    }

    /// For how long nothing has come of it, where it may be ended for that.
    pub fn idle(&self) -> Option<Duration> {
        let state = self.lock();
        let idle = state.since.elapsed();
        let least = match state.does {
            Does::Waits => IDLE,
            Does::Asks => self.patience.max(IDLE),
            Does::Opens | Does::Works => return None,
        };
        (idle >= least).then_some(idle)
    }

    /// Ends it; whoever attends to it finds that out.
    pub fn end(&self) {
        (self.end)(WHY);
    }

    /// Lets nothing have come of it for so long.
    #[cfg(test)]
    pub fn rested(&self, idle: Duration) {
        let since = Instant::now().checked_sub(idle).unwrap();
        *self.lock() = State { does: Does::Waits, since };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_come_to_nothing_are_no_use_and_work_is() {
        let minute = Duration::from_secs(60);
        let standing = Standing::new(minute, |_| ());
        assert!(standing.idle().is_none(), "it is being set up");
        standing.asked(|| assert!(standing.idle().is_none(), "it has just begun"));
        standing.rested(2 * minute);
        for _ in 0..3 {
            standing.asked(|| assert!(standing.idle() >= Some(2 * minute)));
            assert!(standing.idle() >= Some(2 * minute), "asked, and nothing came of it");
        }
        let works = standing.works();
        assert!(standing.idle().is_none());
        drop(works);
        standing.asked(|| assert!(standing.idle().is_none()));
        standing.rested(minute / 2);
        standing.asked(|| assert!(standing.idle().is_some()));
        assert!(standing.idle().is_none(), "what it asked for may still come");
    }
}
