//! The supply of correlated randomness at a party: fetched from the dealer ahead of time, waiting in memory or
//! on disk, the next one staged.
//!
//! Single use: the dealer gives each batch number to each party once. In memory a crash loses what waits. On disk a
//! batch's file is unlinked and the folder synced before the batch is staged, so that no crash and no retry can
//! bring it back. Numbers that a party skips are burnt.
//!
//! One thread fetches and another stages: a dealer that is slow or gone does not hold up what waits here.

mod fetch;
mod store;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use sotto_net::QuicLink;
use sotto_protocols::{
    Role,
    batch::{Batch, Staged},
    plan::Plan,
    weights::Weights,
};

use crate::{error::Error, messages::Epoch};
use store::Store;

/// Connects to the dealer for batches of one pair; gives the link and the dealer's epoch.
pub type Connect = Box<dyn Fn() -> Result<(QuicLink, Epoch), Error> + Send>;

/// How long a dropped supply waits for its threads; one that is deep in a call ends later, by itself.
const LINGER: Duration = Duration::from_millis(200);

/// What a supply needs to know.
pub struct Terms {
    /// Which party.
    pub role: Role,
    /// The plan.
    pub plan: Arc<Plan>,
    /// The party's weights, for the offline products.
    pub weights: Arc<Weights>,
    /// The epoch of the weights' masks.
    pub epoch: Epoch,
    /// Batches kept ready; 0 fetches on demand.
    pub pool: usize,
    /// Where batches wait.
    pub folder: Option<PathBuf>,
}

/// A staged batch and the bytes that it cost this party offline.
pub struct Ready {
    /// For one evaluation.
    pub staged: Staged,
    /// Seed and corrections as received.
    pub bytes: u64,
}

enum Waiting {
    Memory(Batch),
    Disk(u64),
}

impl Waiting {
    fn id(&self) -> u64 {
        match self {
            Waiting::Memory(b) => b.id,
            Waiting::Disk(id) => *id,
        }
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    staging: Option<u64>,
    staged: Option<Ready>,
    /// Lowest number that is of use.
    from: u64,
    wanted: usize,
    closed: bool,
    /// The dealer has other masks: nothing more will come from it.
    stale: bool,
    failure: Option<String>,
    running: usize,
}

impl State {
    fn total(&self) -> usize {
        self.waiting.len()
            + usize::from(self.staging.is_some())
            + usize::from(self.staged.is_some())
    }

    fn first(&self) -> Option<u64> {
        let staged = self.staged.as_ref().map(|r| r.staged.id);
        staged.or(self.staging).or(self.waiting.front().map(Waiting::id))
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    terms: Terms,
    store: Option<Store>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(|e| e.into_inner())
    }

    /// Notes a failure, for those who wait.
    fn failed(&self, state: &mut State, e: &Error) {
        tracing::warn!("supply of correlations: {e}");
        state.failure = Some(e.to_string());
        self.changed.notify_all();
    }
}

/// Says that a thread has ended, also when it panics.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

/// A running supply.
pub struct Supply {
    shared: Arc<Shared>,
}

impl Supply {
    /// Starts fetching and staging; what an earlier process left on disk comes first.
    pub fn start(terms: Terms, connect: Connect) -> Self {
        let store = terms.folder.as_ref().map(|f| Store::new(f, &terms));
        let mut state = State { running: 2, ..State::default() };
        match store.as_ref().map(Store::recover) {
            Some(Ok(found)) => state.waiting.extend(found.into_iter().map(Waiting::Disk)),
            Some(Err(e)) => {
                tracing::warn!("supply of correlations: {e}");
                state.failure = Some(e.to_string());
            }
            None => {}
        }
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), terms, store });
        let fetching = Running(Arc::clone(&shared));
        thread::spawn(move || fetch::fill(&fetching.0, &connect));
        let staging = Running(Arc::clone(&shared));
        thread::spawn(move || stage_all(&staging.0));
        Self { shared }
    }

    /// The number of the first batch here, fetched if there is none.
    ///
    /// # Errors
    /// [`Error::Exhausted`] after `deadline`.
    pub fn first(&self, deadline: Duration) -> Result<u64, Error> {
        self.wait(deadline, |state| state.first())
    }

    /// The number of the first staged batch that is not below `from`, and its bytes; lower ones are burnt.
    ///
    /// # Errors
    /// [`Error::Exhausted`] after `deadline`.
    pub fn prepare(&self, from: u64, deadline: Duration) -> Result<(u64, u64), Error> {
        self.wait(deadline, |state| {
            state.from = from;
            state.waiting.retain(|w| w.id() >= from);
            state.staged.take_if(|r| r.staged.id < from);
            state.staged.as_ref().map(|r| (r.staged.id, r.bytes))
        })
    }

    /// Takes the staged batch `id`, burning lower ones; `None` when the next one here is higher.
    ///
    /// # Errors
    /// [`Error::Exhausted`] after `deadline`.
    pub fn take(&self, id: u64, deadline: Duration) -> Result<Option<Ready>, Error> {
        self.prepare(id, deadline)?;
        let mut state = self.shared.lock();
        let ready = state.staged.take_if(|r| r.staged.id == id);
        if ready.is_some() {
            state.wanted = 0;
            state.from = id + 1;
            self.shared.changed.notify_all();
        }
        Ok(ready)
    }

    /// Batches that are here, staged or not.
    pub fn ready(&self) -> usize {
        self.shared.lock().total()
    }

    /// True when the dealer has other masks by now: once what is here is used up, only connecting again helps.
    pub fn is_stale(&self) -> bool {
        self.shared.lock().stale
    }

    fn wait<T>(
        &self,
        deadline: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            state.wanted = 1;
            self.shared.changed.notify_all();
            let hopeless = state.closed || (state.stale && state.total() == 0);
            let left = deadline.checked_sub(start.elapsed()).filter(|_| !hopeless);
            let Some(left) = left else {
                let why = state.failure.clone();
                return Err(Error::Exhausted {
                    waited: start.elapsed().as_secs(),
                    why: why.unwrap_or_else(|| "the dealer is slower than the deadline".into()),
                    remedy: "start the dealer, or raise `deadline` or `pool`".into(),
                });
            };
            state = match self.shared.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(e) => e.into_inner().0,
            };
        }
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.changed.notify_all();
        // An idle thread closes its link now, so that the dealer hears of it.
        let ended = self.shared.changed.wait_timeout_while(state, LINGER, |s| s.running > 0);
        drop(ended);
    }
}

/// The staging thread.
fn stage_all(shared: &Shared) {
    loop {
        let waiting = {
            let mut state = shared.lock();
            loop {
                if state.closed {
                    return;
                }
                if state.staged.is_none()
                    && let Some(next) = state.waiting.pop_front()
                {
                    state.staging = Some(next.id());
                    break next;
                }
                state = shared.sleep(state);
            }
        };
        let result = stage(shared, waiting);
        let mut state = shared.lock();
        state.staging = None;
        match result {
            Ok(ready) => state.staged = Some(ready),
            Err(e) => shared.failed(&mut state, &e),
        }
        shared.changed.notify_all();
    }
}

fn stage(shared: &Shared, waiting: Waiting) -> Result<Ready, Error> {
    let batch = match (waiting, &shared.store) {
        (Waiting::Memory(batch), _) => batch,
        (Waiting::Disk(id), Some(store)) => store.take(id)?,
        (Waiting::Disk(_), None) => unreachable!("only a store puts batches on disk"),
    };
    let bytes = 32 + batch.corrections.as_ref().map_or(0, |c| c.len() as u64);
    let terms = &shared.terms;
    let staged = batch.stage(&terms.plan, terms.role, &terms.weights)?;
    Ok(Ready { staged, bytes })
}
