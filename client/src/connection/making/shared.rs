//! What the thread that makes and those that wait for it share.

use std::{
    cell::Cell,
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use sotto_models::length::Length;
use sotto_session::{error::Error, messages::step};

use super::super::claims::Ready;

/// Nobody evaluates for so long before batches are made for the disk.
const IDLE: Duration = Duration::from_secs(1);

/// Pause before the server is asked again whether it has a place, or anything else is tried again.
pub const PAUSE: Duration = Duration::from_millis(200);

/// Longest pause before it is tried again.
const LONGEST: Duration = Duration::from_secs(60);

pub(in super::super) struct State {
    /// Batches to have ready in memory.
    wanted: usize,
    pub ready: VecDeque<Ready>,
    pub failed: Option<Error>,
    /// Flights, and whatever shows that the server is alive.
    pub moves: u64,
    end: Option<End>,
    /// How often a link was set up that no evaluation has counted.
    pub setups: u64,
    /// Evaluations that are under way, and those among them that wait for a batch.
    evaluating: usize,
    waiting: usize,
    /// Making for the disk begins no earlier; not at all where it is of no use to try again.
    not_before: Option<Instant>,
    /// Before it is tried again after a failure.
    pause: Duration,
    /// Why the last one was not made.
    unfilled: Option<Error>,
}

/// How making ends, once nothing is being made any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With a good-bye.
    Leave,
    /// Its link goes on with texts of so many words.
    Part(Length),
}

/// What the thread does next.
pub(super) enum Job {
    /// A batch for memory.
    Make,
    /// A batch for the disk.
    Fill,
    /// Nothing more.
    End(End),
}

impl State {
    /// What making met; whoever asks again is told again.
    pub fn failure(&mut self) -> Option<Error> {
        let lost = || sotto_net::Error::Link {
            peer: "the server".into(),
            step: step::REQUEST,
            why: "making correlations with it has failed before".into(),
            remedy: "connect again",
        };
        let failed = self.failed.take()?;
        self.failed = Some(lost().into());
        Some(failed)
    }

    /// Why the disk is not filled.
    pub fn unfilled(&mut self) -> Option<Error> {
        self.unfilled.take()
    }
}

pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Default for Shared {
    fn default() -> Self {
        let state = State {
            wanted: 0,
            ready: VecDeque::new(),
            failed: None,
            moves: 0,
            end: None,
            setups: 0,
            evaluating: 0,
            waiting: 0,
            not_before: Some(Instant::now() + IDLE),
            pause: PAUSE,
            unfilled: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub fn wait<'a>(&self, state: MutexGuard<'a, State>, left: Duration) -> MutexGuard<'a, State> {
        match self.changed.wait_timeout(state, left) {
            Ok((state, _)) => state,
            Err(e) => e.into_inner().0,
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    pub fn close(&self, end: End) {
        self.change(|state| state.end = state.end.or(Some(end)));
    }

    pub fn fail(&self, failed: Option<Error>) {
        self.change(|state| state.failed = failed);
    }

    /// A batch for memory is here.
    pub fn add(&self, ready: Ready) {
        self.change(|state| state.ready.push_back(ready));
    }

    /// Has `now` batches made for memory until what is given is dropped, then `after`.
    pub fn want(&self, now: usize, after: usize) -> Wanting<'_> {
        self.change(|state| (state.wanted, state.waiting) = (now, state.waiting + 1));
        Wanting(self, after)
    }

    /// The disk is to be filled now, whatever was met before.
    pub fn at_once(&self) {
        self.change(|state| {
            (state.not_before, state.pause, state.unfilled) = (Some(Instant::now()), PAUSE, None);
        });
    }

    /// A batch for the disk was not made.
    pub fn put_off(&self, e: Error) {
        // Of a full disk nobody hears before it is tried: that costs a batch each time.
        let again = matches!(e, Error::Net(_) | Error::Protocol(_) | Error::Refused { .. });
        self.change(|state| {
            state.not_before = again.then(|| Instant::now() + state.pause);
            state.pause = LONGEST.min(2 * state.pause);
            state.unfilled = Some(e).filter(|e| !is_busy(e));
        });
    }

    /// A batch for the disk is there.
    pub fn filled(&self) {
        self.change(|state| (state.moves, state.pause) = (state.moves + 1, PAUSE));
    }

    /// Waits until there is something to do; `lacks` says whether the disk has room for more.
    pub fn job(&self, lacks: &dyn Fn() -> bool) -> Job {
        let mut state = self.lock();
        loop {
            if let Some(end) = state.end {
                return Job::End(end);
            }
            if state.ready.len() < state.wanted {
                return Job::Make;
            }
            let begins = state.not_before.filter(|_| state.evaluating == 0 && lacks());
            let left = begins.map(|at| at.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) if left.is_zero() => return Job::Fill,
                Some(left) => self.wait(state, left),
                None => self.changed.wait(state).unwrap_or_else(|e| e.into_inner()),
            };
        }
    }

    /// A flight is over.
    pub fn moved(&self) {
        self.change(|state| state.moves += 1);
    }

    /// Gives way to an evaluation that does not wait for what is being made, for what is `left`: the server waits meanwhile.
    pub fn give_way(&self, left: &Cell<Duration>) {
        let start = Instant::now();
        let mut state = self.lock();
        while state.evaluating > state.waiting && state.end.is_none() {
            let rest = left.get().saturating_sub(start.elapsed());
            if rest.is_zero() {
                break;
            }
            state = self.wait(state, rest);
        }
        left.set(left.get().saturating_sub(start.elapsed()));
    }
}

/// Whether the server has no place now.
pub(super) fn is_busy(e: &Error) -> bool {
    matches!(e, Error::Refused { why, .. } if !why.is_final())
}

/// Somebody waits for a batch.
pub(super) struct Wanting<'a>(&'a Shared, usize);

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.change(|state| (state.wanted, state.waiting) = (self.1, state.waiting - 1));
    }
}

/// An evaluation, to which making for the disk gives way.
pub(in super::super) struct Evaluating(Arc<Shared>);

impl Evaluating {
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        shared.change(|state| state.evaluating += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Evaluating {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.evaluating -= 1;
            let idle = Instant::now() + IDLE;
            state.not_before = state.not_before.map(|at| at.max(idle));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_disk_is_filled_while_nobody_evaluates_and_gives_way() {
        let shared = Arc::new(Shared::default());
        shared.at_once();
        let yes = || true;
        assert!(matches!(shared.job(&yes), Job::Fill));
        let evaluating = Evaluating::begin(&shared);
        // What an evaluation waits for comes first, and does not give way.
        let wanting = shared.want(1, 0);
        assert!(matches!(shared.job(&yes), Job::Make));
        let left = Cell::new(Duration::from_secs(60));
        shared.give_way(&left);
        assert!(left.get() > Duration::from_secs(50));
        drop(wanting);
        // An evaluation that has its batch is given way to, as long as the server waits.
        let short = Cell::new(Duration::from_millis(20));
        shared.give_way(&short);
        assert_eq!(short.get(), Duration::ZERO);
        let (way, begun) = (Arc::clone(&shared), Instant::now());
        let gives = thread::spawn(move || way.give_way(&Cell::new(Duration::from_secs(60))));
        drop(evaluating);
        gives.join().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(50), "it ends with the evaluation");
        // Then it waits for a while.
        assert!(matches!(shared.job(&yes), Job::Fill));
        assert!(begun.elapsed() >= IDLE);
        shared.close(End::Leave);
        assert!(matches!(shared.job(&yes), Job::End(End::Leave)));
    }

    #[test]
    fn what_fails_for_the_disk_is_tried_again_later_or_not_at_all() {
        let shared = Shared::default();
        let no_place = || Error::Refused {
            peer: "server".into(),
            why: sotto_session::refusal::Refusal::Busy(1),
        };
        for _ in 0..20 {
            shared.put_off(no_place());
        }
        assert!(shared.lock().unfilled().is_none(), "it is waited for");
        assert_eq!(shared.lock().pause, LONGEST);
        shared.filled();
        assert_eq!(shared.lock().pause, PAUSE);
        shared.put_off(Error::Config("the disk is full".into()));
        assert!(shared.lock().not_before.is_none());
        assert!(shared.lock().unfilled().is_some());
        shared.at_once();
        assert!(matches!(shared.job(&|| true), Job::Fill));
    }
}
