//! The server's standing with its dealer: the epoch, the weights masked in it, and the pool of its batches.
//!
//! A session begins when the server starts, not with the first client, and anew when the dealer was restarted.

mod basis;

use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use sotto_crypto::Seed;
use sotto_models::calibration::hex;

use super::{
    pool::{Pool, Terms},
    store::Store,
};
use crate::{
    card::{of, short},
    error::Error,
    messages::{Epoch, Masks},
    refusal::Refusal,
};
pub use basis::Basis;

/// Pause after a first failed announcement; it doubles with each.
const PAUSE: Duration = Duration::from_millis(500);

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(8);

/// A client that waits for so long is told for whom.
const SOON: Duration = Duration::from_secs(1);

/// The dealer is not asked more often than this whether it was restarted.
const DOUBT: Duration = Duration::from_secs(1);

/// One epoch.
pub struct Session {
    /// The dealer's name of it.
    pub epoch: Epoch,
    /// The name of the weights' masks.
    pub masks: Masks,
    /// What the masks come from: each client gets the weights under them once.
    pub seed: Seed,
    /// Its batches.
    pub pool: Pool,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    failure: Option<String>,
    /// It will fail again until somebody changes something.
    hopeless: bool,
    /// A client says that the dealer no longer knows this epoch.
    doubted: bool,
    /// Announcements so far.
    asked: u64,
    /// Nobody needs it any more.
    closed: bool,
}

/// The present session, kept by a thread of its own.
pub struct Sessions {
    basis: Basis,
    state: Mutex<State>,
    changed: Condvar,
}

impl Sessions {
    /// Without a session yet: nothing is asked of the dealer, and nothing on the disk is touched.
    pub fn new(basis: Basis) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { basis, state, changed })
    }

    /// Starts to announce the model, again and again until the dealer takes it. What others left in its pool folder is burnt.
    pub fn begin(self: &Arc<Self>) {
        let keeper = Arc::clone(self);
        thread::spawn(move || keeper.keep());
    }

    /// The present session; `doubt` is an epoch that a client says is over. Where there is none soon `waiting` is told of which dealer,
    /// once.
    ///
    /// # Errors
    /// [`Refusal::NoDealer`] when there is none in time, or the dealer cannot be trusted.
    pub fn current(
        &self,
        doubt: Option<Epoch>,
        patience: Duration,
        waiting: impl FnOnce(String),
    ) -> Result<Arc<Session>, Refusal> {
        let (start, mut waiting) = (Instant::now(), Some(waiting));
        let dealer = &self.basis.dealer.peer;
        let at = || dealer.address.as_deref().unwrap_or_default();
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        // Who doubts waits for the dealer's answer, nobody else does.
        let doubts = doubt.is_some() && doubt == state.session.as_ref().map(|s| s.epoch);
        let before = if doubts { Some(state.asked) } else { None };
        state.doubted |= doubts;
        loop {
            if let Some(why) = self.basis.trust.lost() {
                return Err(Refusal::NoDealer(why));
            }
            let settled = (state.session.as_ref())
                .filter(|s| !s.pool.is_stale() && before.is_none_or(|n| state.asked > n));
            if let Some(session) = settled {
                return Ok(Arc::clone(session));
            }
            let left = patience.checked_sub(start.elapsed()).filter(|_| !state.hopeless);
            let Some(left) = left else {
                let why = state.failure.clone();
                let silent = || format!("nobody answers for {} at {}; start it", dealer.name, at());
                return Err(Refusal::NoDealer(why.unwrap_or_else(silent)));
            };
            if start.elapsed() >= SOON.min(patience / 4)
                && let Some(tell) = waiting.take()
            {
                drop(state);
                tell(format!("{} at {}", dealer.name, at()));
                state = self.state.lock().unwrap_or_else(|e| e.into_inner());
                continue;
            }
            state = match self.changed.wait_timeout(state, left.min(PAUSE)) {
                Ok((state, _)) => state,
                Err(e) => e.into_inner().0,
            };
        }
    }

    /// Ends it: nothing more is announced or fetched.
    pub fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state.closed = true;
        if let Some(session) = state.session.take() {
            self.over(&session);
        }
        self.changed.notify_all();
    }

    /// Ends a session; its numbers are not forgotten.
    fn over(&self, session: &Session) {
        if let Some(last) = session.pool.last() {
            self.basis.trust.note(session.epoch, last);
        }
        session.pool.close();
    }

    /// Whether batches can be had now.
    ///
    /// # Errors
    /// What the dealer or the pool lacks.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(why) = self.basis.trust.lost() {
            return Err(why);
        }
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        match &state.session {
            Some(session) if !session.pool.is_stale() => session.pool.failure().map_or(Ok(()), Err),
            _ => Err(state
                .failure
                .clone()
                .unwrap_or_else(|| "the dealer has not answered yet".into())),
        }
    }

    /// Batches that wait for a client, and those that clients hold or are evaluating with.
    pub fn batches(&self) -> [usize; 2] {
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state.session.as_ref().map_or([0, 0], |session| session.pool.batches())
    }

    /// Batches that take memory now.
    pub fn in_memory(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state.session.as_ref().map_or(0, |session| session.pool.in_memory())
    }

    /// Burns what there is no room for any more, or fetches what there is room for ([`Pool::trim`]).
    pub fn trim(&self) {
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(session) = &state.session {
            session.pool.trim();
        }
    }

    fn keep(&self) {
        let mut pause = PAUSE;
        let closed = || self.state.lock().unwrap_or_else(|e| e.into_inner()).closed;
        while self.basis.trust.lost().is_none() && !closed() {
            let asked = Instant::now();
            let made = self.announce();
            let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
            if state.closed {
                return;
            }
            state.doubted = false;
            state.asked += 1;
            match made {
                Ok(Some(session)) => {
                    if let Some(old) = state.session.replace(Arc::new(session)) {
                        self.over(&old);
                    }
                    (state.failure, state.hopeless) = (None, false);
                }
                Ok(None) => {}
                Err(e) => {
                    tracing::warn!("{e}");
                    (state.failure, state.hopeless) = (Some(e.to_string()), e.is_final());
                }
            }
            self.changed.notify_all();
            let session = state.session.clone();
            drop(state);
            match session {
                Some(session) => {
                    pause = PAUSE;
                    self.until_over(&session, asked);
                }
                None => {
                    thread::sleep(pause);
                    pause = LONGEST.min(2 * pause);
                }
            }
        }
    }

    /// Waits until a session is over, or a client doubts it.
    fn until_over(&self, session: &Session, asked: Instant) {
        loop {
            let (doubted, closed) = {
                let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
                (state.doubted, state.closed)
            };
            if closed {
                return;
            }
            if (doubted || session.pool.is_stale()) && asked.elapsed() >= DOUBT {
                return;
            }
            if self.basis.trust.lost().is_some() {
                return;
            }
            session.pool.until_stale(PAUSE);
            if session.pool.is_stale() {
                thread::sleep(DOUBT.saturating_sub(asked.elapsed()));
            }
        }
    }

    /// A new session; `None` where the present one is still the dealer's.
    fn announce(&self) -> Result<Option<Session>, Error> {
        let basis = &self.basis;
        let (epoch, name, seed) =
            basis.dealer.announce(&basis.card, basis.length, basis.commitment)?;
        let present = self.state.lock().unwrap_or_else(|e| e.into_inner()).session.clone();
        if let Some(present) = present {
            if present.epoch == epoch && !present.pool.is_stale() {
                return Ok(None);
            }
            // A dealer that begins epochs without end has one pool's memory, not each one's.
            present.pool.end();
            self.over(&present);
        }
        let plan = basis.dealer.plan;
        let (model, plan_name) = (&basis.model, short(&plan));
        tracing::info!("{model}: plan {plan_name} set up with the dealer, epoch {}", hex(&epoch));
        let terms = Terms {
            plan: Arc::clone(&basis.plan),
            weights: Arc::clone(&basis.weights),
            room: Arc::clone(&basis.room),
            server: basis.server.clone(),
            of: of(&basis.model, &plan, Some(&epoch)),
            epoch,
            last: basis.trust.last(&epoch),
            trust: Arc::clone(&basis.trust),
            audit: (basis.audit > 0.0).then_some((seed.clone(), basis.audit)),
            store: basis.folder.as_ref().map(|f| Store::new(Arc::clone(f), &epoch, &plan)),
        };
        let dealer = basis.dealer.clone();
        let pool = Pool::start(terms, Box::new(move || dealer.batches(None, epoch)))?;
        Ok(Some(Session { epoch, masks: name, seed, pool }))
    }
}
