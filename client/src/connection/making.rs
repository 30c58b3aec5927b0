//! The client's part of the batches that it makes with the server: made and staged ahead of time, over a link of their own.
//!
//! Nothing of it survives this process. One thread makes, while the evaluation before is under way.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sotto_models::length::Length;
use sotto_net::{Link, QuicLink};
use sotto_protocols::{Role, cost::Cost, plan::Plan, weights::Weights};

use super::claims::Ready;
use sotto_session::{
    error::Error,
    messages::{self, Reply, Request, step},
    waiting::Waiting,
    workshop::Workshop,
};

/// Pause before the server is asked again whether it has a place.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Default)]
struct State {
    /// Batches to have ready.
    wanted: usize,
    ready: VecDeque<Ready>,
    failed: Option<Error>,
    /// Flights, and whatever shows that the server is alive.
    moves: u64,
    end: Option<End>,
}

/// How making ends, once nothing is being made any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// With a good-bye.
    Leave,
    /// Its link goes on with texts of so many words.
    Part(Length),
}

/// A link for making that is set up.
pub(crate) type Shop = (QuicLink, Workshop);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn close(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_all();
    }
}

/// A running thread that makes.
pub(super) struct Making {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Option<Shop>>>,
    /// What the recipe predicts.
    pub cost: Cost,
    /// How long the server may be silent.
    deadline: Duration,
}

impl Making {
    /// Goes on over a link that is set up.
    pub fn start(
        mut link: QuicLink,
        mut workshop: Workshop,
        (plan, weights): (Arc<Plan>, Arc<Weights>),
        (cost, deadline, longest): (Cost, Duration, Duration),
    ) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let making = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let done = make_all(&making, &mut link, &mut workshop, (&plan, &weights, longest));
            let (kept, failed) = match done {
                Ok(end) => (end != End::Leave, None),
                Err(e) => (false, Some(e)),
            };
            making.lock().failed = failed;
            making.changed.notify_all();
            kept.then_some((link, workshop))
        });
        Self { shared, thread: Some(thread), cost, deadline }
    }

    /// Says good-bye to the server, once nothing is being made any more.
    pub fn leave(self) {
        self.end(End::Leave);
    }

    /// The link, once nothing is being made any more, for texts of another length, which the server is told. What is here of this one
    /// is burnt.
    pub fn part(self, length: Length) -> Option<Shop> {
        self.end(End::Part(length))
    }

    fn end(mut self, end: End) -> Option<Shop> {
        self.shared.close(end);
        self.thread.take()?.join().ok().flatten()
    }

    /// Batches that are here.
    pub fn ready(&self) -> usize {
        self.shared.lock().ready.len()
    }

    /// Whether it has failed: what it made is burnt with the server's part of it.
    pub fn failed(&self) -> bool {
        self.shared.lock().failed.is_some()
    }

    /// Waits for the next batch, and has `ahead` more made after it.
    ///
    /// # Errors
    /// What making met; [`Error::Exhausted`] when the server is silent for too long.
    pub fn next(&self, ahead: usize) -> Result<Ready, Error> {
        let deadline = self.deadline;
        let _waiting = Waiting::until("correlated randomness to be made with the server");
        let mut state = self.shared.lock();
        state.wanted = 1 + ahead;
        self.shared.changed.notify_all();
        let (mut moves, mut quiet) = (state.moves, Instant::now());
        loop {
            if let Some(e) = state.failed.take() {
                // Whoever asks again is told again.
                state.failed = Some(lost());
                return Err(e);
            }
            if let Some(ready) = state.ready.pop_front() {
                state.wanted = ahead;
                return Ok(ready);
            }
            if state.moves != moves {
                (moves, quiet) = (state.moves, Instant::now());
            }
            let Some(left) = deadline.checked_sub(quiet.elapsed()) else {
                return Err(Error::Exhausted {
                    waited: deadline.as_secs(),
                    why: "the server does not make a batch with us in time".into(),
                    remedy: "try again, or raise `deadline`".into(),
                });
            };
            state = match self.shared.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(e) => e.into_inner().0,
            };
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.shared.close(End::Leave);
    }
}

fn lost() -> Error {
    Error::Net(sotto_net::Error::Link {
        peer: "the server".into(),
        step: step::REQUEST,
        why: "making correlations with it has failed before".into(),
        remedy: "connect again",
    })
}

/// Makes as many as are wanted, until nobody wants any more.
fn make_all(
    shared: &Shared,
    link: &mut QuicLink,
    workshop: &mut Workshop,
    (plan, weights, longest): (&Arc<Plan>, &Weights, Duration),
) -> Result<End, Error> {
    let mut last = None;
    loop {
        {
            let mut state = shared.lock();
            while state.ready.len() >= state.wanted && state.end.is_none() {
                state = shared.changed.wait(state).unwrap_or_else(|e| e.into_inner());
            }
            if let Some(end) = state.end {
                drop(state);
                match end {
                    End::Leave => {
                        messages::send(link, step::REQUEST, &Request::Bye)?;
                        drop(link.finish());
                    }
                    End::Part(length) => {
                        messages::send(link, step::REQUEST, &Request::Length { length })?;
                    }
                }
                return Ok(end);
            }
        }
        let moved = || {
            shared.lock().moves += 1;
            shared.changed.notify_all();
        };
        messages::send(link, step::REQUEST, &Request::Make)?;
        let id = match messages::recv(link, step::REPLY)? {
            // Each with a number of its own.
            Reply::Making { id } if last < Some(id) => id,
            // It does not count as a sign of life: who waits for a place waits no longer than for a silent server.
            Reply::Refused(why) if !why.is_final() => {
                thread::sleep(PAUSE);
                continue;
            }
            Reply::Refused(why) => {
                return Err(Error::Refused { peer: link.peer().to_owned(), why });
            }
            _ => {
                let (peer, why) = (link.peer().to_owned(), "another answer".into());
                return Err(Error::Net(sotto_net::Error::Garbage { peer, step: step::REPLY, why }));
            }
        };
        last = Some(id);
        let (batch, traffic) = workshop.make(link, id, longest, &moved)?;
        let staged = batch.stage(plan, Role::Client, weights)?;
        let ready = Ready::made(id, staged, workshop.tag(id), &traffic);
        shared.lock().ready.push_back(ready);
        shared.changed.notify_all();
    }
}
