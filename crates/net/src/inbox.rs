//! Where a peer's messages wait for the blocking side.
//!
//! Memory stays bounded whatever the peer sends: a frame is taken in unasked only within the link's
//! prefetch and what is left of the endpoint's budget; beyond them the header waits here until there
//! is room or a `recv` has agreed with its step and length, and the transport's flow control pushes
//! back on the peer meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sotto_link::cost;
use tokio::sync::Notify;

use crate::backlog::{Backlog, Full};
use crate::budget::{Budget, Held};
use crate::failure::{Failure, closed_here};
use crate::frame::{Frame, Header, Kind};
use crate::sync::{AtomicU64, Condvar, Mutex, MutexGuard};
use crate::{Due, Error};

#[derive(Default)]
struct State {
    queue: VecDeque<Frame>,
    /// Bytes in `queue` and admitted but not yet whole.
    held: u64,
    /// The frame under way: its header, and whether its payload may be read.
    coming: Option<(Header, bool)>,
    /// Messages taken in whole, ever.
    taken_in: u64,
    /// We have sent our last message.
    fin_sent: bool,
    /// The peer has sent its last message.
    fin_seen: bool,
    /// The peer has everything that we sent.
    fin_received: bool,
    failure: Option<Failure>,
}

pub(crate) struct Inbox {
    peer: String,
    state: Mutex<State>,
    arrived: Condvar,
    room: Notify,
    /// Counts the changes, so that a receiver can spin without the lock.
    changes: AtomicU64,
    /// What waits to be sent on the same link.
    pub backlog: Backlog,
}

impl Inbox {
    pub fn new(peer: String) -> Self {
        Inbox {
            peer,
            state: Mutex::default(),
            arrived: Condvar::new(),
            room: Notify::new(),
            changes: AtomicU64::new(0),
            backlog: Backlog::default(),
        }
    }

    pub fn peer(&self) -> &str {
        &self.peer
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the inbox")
    }

    fn wake(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.arrived.notify_all();
    }

    // The transport's side.

    /// Announces a header and waits until its payload may be read into memory: there is room within
    /// `prefetch` and `budget`, whose part it returns, or somebody asks for it.
    pub async fn admit(&self, header: Header, prefetch: u64, budget: &Budget) -> Option<Held> {
        let cost = cost(header.len);
        let admitted = |mut state: MutexGuard<'_, State>, held| {
            state.coming = Some((header, true));
            state.held += cost;
            held
        };
        {
            let mut state = self.lock();
            state.coming = Some((header, false));
            let fits = state.held + cost <= prefetch;
            if let Some(held) = fits.then(|| budget.try_hold(cost)).flatten() {
                return admitted(state, Some(held));
            }
        }
        self.wake();
        loop {
            let fits = {
                let state = self.lock();
                if matches!(state.coming, Some((_, true))) {
                    return admitted(state, None);
                }
                state.held + cost <= prefetch
            };
            // Neither wake-up can be lost: `room` keeps one that comes early, and the budget queues.
            tokio::select! {
                () = self.room.notified() => {}
                held = budget.hold(cost), if fits => return admitted(self.lock(), Some(held)),
            }
        }
    }

    /// Hands over the frame that was admitted.
    pub fn deliver(&self, frame: Frame) {
        let mut state = self.lock();
        state.coming = None;
        state.taken_in += 1;
        state.queue.push_back(frame);
        drop(state);
        self.wake();
    }

    /// Whether a frame of this kind may come now; after its fin a peer has nothing more to say, so
    /// that nothing that it sends is answered twice.
    pub fn expect(&self, kind: Kind) -> Result<(), String> {
        let mut state = self.lock();
        let wrong = match kind {
            Kind::Hello => "a second hello",
            Kind::Fin if state.fin_seen => "a second fin",
            Kind::Message if state.fin_seen => "a message after its fin",
            Kind::FinReceived if !state.fin_sent => "an answer to a fin that we have not sent",
            Kind::FinReceived if state.fin_received => "a second answer to our fin",
            _ => {
                state.fin_seen |= kind == Kind::Fin;
                if kind == Kind::FinReceived {
                    state.fin_received = true;
                    drop(state);
                    self.wake();
                }
                return Ok(());
            }
        };
        Err(wrong.into())
    }

    /// Nothing more will come; the first reason stands.
    pub fn fail(&self, failure: Failure) {
        self.lock().failure.get_or_insert(failure);
        self.wake();
        self.backlog.wake();
    }

    // The blocking side.

    /// Messages taken in whole, ever.
    pub fn taken_in(&self) -> u64 {
        self.lock().taken_in
    }

    /// Whether a frame is under way.
    #[cfg(test)]
    pub fn is_coming(&self) -> bool {
        self.lock().coming.is_some()
    }

    /// Whether the link died before the peer finished.
    pub fn is_broken(&self) -> bool {
        let state = self.lock();
        matches!(&state.failure, Some(failure) if !matches!(failure, Failure::Finished { .. }))
    }

    /// Notes that our fin goes out; says whether it is the first one.
    pub fn send_fin(&self) -> bool {
        !std::mem::replace(&mut self.lock().fin_sent, true)
    }

    /// The error that a `send` at `step` meets if the link is dead or our fin is sent.
    pub fn check(&self, step: u32) -> Result<(), Error> {
        let state = self.lock();
        let failure = match &state.failure {
            Some(failure) => failure.clone(),
            None if state.fin_sent => closed_here(),
            None => return Ok(()),
        };
        Err(failure.into_error(&self.peer, step))
    }

    /// Waits until at most `at_most` bytes wait to be sent; the deadline is for each bit of progress, the end for all.
    pub fn room(
        &self,
        step: u32,
        at_most: u64,
        (deadline, end): (Duration, Option<Instant>),
    ) -> Result<(), Error> {
        let room = self.backlog.wait(at_most, deadline, end, || self.check(step));
        room.map_err(|full| match full {
            Full::Dead(error) => error,
            Full::Stuck(waited) => Error::Deadline { peer: self.peer.clone(), step, waited },
        })
    }

    /// Counts a message that is queued for sending, if it may be.
    pub fn queue(&self, step: u32, len: usize, limit: u64) -> Result<(), Error> {
        self.check(step)?;
        self.backlog.add(cost(len as u64), limit).map_err(|queued| {
            let peer = self.peer.clone();
            Error::Overflow { peer, step, queued, limit }
        })
    }

    /// The next message, if it is the one that is due.
    pub fn take(
        &self,
        step: u32,
        due: Due,
        deadline: Duration,
        spin: Duration,
    ) -> Result<Vec<u8>, Error> {
        self.wait(step, deadline, spin, |state| {
            if let Some(Failure::Ours(error)) = &state.failure {
                return Some(Err(error.clone()));
            }
            let next = match (state.queue.front(), state.coming) {
                (Some(frame), _) => (frame.step, frame.payload.len() as u64),
                (None, Some((header, _))) => (header.step, header.len),
                (None, None) => {
                    let failure = state.failure.clone()?;
                    return Some(Err(failure.into_error(&self.peer, step)));
                }
            };
            if next.0 != step || !due.allows(next.1) {
                let peer = self.peer.clone();
                let error =
                    Error::Desync { peer, step, due, their_step: next.0, their_len: next.1 };
                state.failure = Some(Failure::Ours(error.clone()));
                return Some(Err(error));
            }
            if let Some(frame) = state.queue.pop_front() {
                state.held -= cost(frame.payload.len() as u64);
                if state.coming.is_some_and(|(_, admitted)| !admitted) {
                    self.room.notify_one();
                }
                return Some(Ok(frame.payload));
            }
            if let Some((_, admitted @ false)) = &mut state.coming {
                *admitted = true;
                self.room.notify_one();
            }
            let failure = state.failure.clone()?;
            Some(Err(failure.into_error(&self.peer, step)))
        })
    }

    /// Waits until the peer has everything: `sent` messages.
    pub fn await_fin(&self, step: u32, sent: u64, deadline: Duration) -> Result<(), Error> {
        self.wait(step, deadline, Duration::ZERO, |state| {
            if state.fin_received {
                return Some(Ok(()));
            }
            match state.failure.clone()? {
                Failure::Finished { received } if received == sent => Some(Ok(())),
                Failure::Finished { received } => Some(Err(Error::Link {
                    peer: self.peer.clone(),
                    step,
                    why: format!("it finished after {received} of our {sent} messages"),
                    remedy: "compare the plans of both sides",
                })),
                failure => Some(Err(failure.into_error(&self.peer, step))),
            }
        })
    }

    fn wait<T>(
        &self,
        step: u32,
        deadline: Duration,
        spin: Duration,
        mut poll: impl FnMut(&mut State) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        while !spin.is_zero() {
            let seen = self.changes.load(Ordering::Acquire);
            if let Some(done) = poll(&mut self.lock()) {
                return done;
            }
            if !self.spin(seen, start, spin) {
                break;
            }
        }
        let mut state = self.lock();
        loop {
            if let Some(done) = poll(&mut state) {
                return done;
            }
            let waited = start.elapsed();
            let Some(left) = deadline.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return Err(Error::Deadline { peer: self.peer.clone(), step, waited });
            };
            let woken = self.arrived.wait_timeout(state, left);
            state = woken.expect("nothing panics while it holds the inbox").0;
        }
    }

    /// Whether something changed while we span.
    fn spin(&self, seen: u64, start: Instant, spin: Duration) -> bool {
        while start.elapsed() < spin {
            for _ in 0..32 {
                if self.changes.load(Ordering::Acquire) != seen {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        false
    }
}
