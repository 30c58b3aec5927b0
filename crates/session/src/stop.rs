//! What happens when a process, or a client inside of one, is asked to stop.
//!
//! No new work is begun, what runs may finish for a while, links are closed with a reason, and who asked ends as
//! usual, so that whatever cleans up on drop does.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use sotto_net::Endpoint;

/// What runs may take so long to finish: less than a container's runtime waits before it kills (10 s).
const GRACE: Duration = Duration::from_secs(8);

/// What peers are told.
const WHY: &str = "it is being stopped";

type Then = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    asked: bool,
    running: usize,
    then: Vec<Then>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    grace: Duration,
}

impl Shared {
    fn new(grace: Duration) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), grace })
    }
}

/// Whether a process, or a client inside of one, is asked to stop; all clones are one. By default what runs may finish.
#[derive(Clone)]
pub struct Stop(Arc<Shared>);

impl Default for Stop {
    fn default() -> Self {
        Self(Shared::new(GRACE))
    }
}

/// Work that is let finish; dropped at its end.
pub struct Working(Stop);

impl Stop {
    /// One that lets nothing finish: what runs fails, and the batch that it uses is burnt.
    pub fn at_once() -> Self {
        Self(Shared::new(Duration::ZERO))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Asks to stop, and does what is to be done then.
    pub fn ask(&self) {
        let mut state = self.lock();
        state.asked = true;
        let all = std::mem::take(&mut state.then);
        drop(state);
        all.into_iter().for_each(|then| then());
    }

    /// Whether somebody has asked.
    pub fn asked(&self) -> bool {
        self.lock().asked
    }

    /// Does `then` when somebody asks, at once if somebody has.
    pub fn then(&self, then: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if !state.asked {
            state.then.push(Box::new(then));
            return;
        }
        drop(state);
        then();
    }

    /// Begins work that may finish; `None` once somebody has asked.
    pub fn begin(&self) -> Option<Working> {
        let mut state = self.lock();
        if state.asked {
            return None;
        }
        state.running += 1;
        Some(Working(self.clone()))
    }

    /// Closes all links of `endpoint` when somebody asks and what runs has finished; newcomers are turned away before.
    pub fn closes(&self, endpoint: &Arc<Endpoint>) {
        let (stop, endpoint) = (self.clone(), Arc::downgrade(endpoint));
        self.then(move || {
            let Some(endpoint) = endpoint.upgrade() else { return };
            endpoint.turn_away();
            let busy = |state: &mut State| state.running > 0;
            drop(stop.0.changed.wait_timeout_while(stop.lock(), stop.0.grace, busy));
            stop.close(&endpoint);
        });
    }

    /// Closes all links of `endpoint` now, with the reason.
    pub fn close(&self, endpoint: &Endpoint) {
        endpoint.close(WHY);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_to_be_done_is_done_once_and_no_work_begins_after_it() {
        let (stop, (done, times)) = (Stop::default(), mpsc::channel());
        let (before, after) = (done.clone(), done);
        stop.then(move || before.send("before").unwrap());
        let working = stop.begin().unwrap();
        stop.clone().ask();
        assert!(stop.asked() && stop.begin().is_none());
        drop(working);
        stop.then(move || after.send("after").unwrap());
        stop.ask();
        assert_eq!(times.iter().collect::<Vec<_>>(), ["before", "after"]);
    }
}
