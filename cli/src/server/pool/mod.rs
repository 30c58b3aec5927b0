//! The server's pool of correlations: one for all its clients, filled from its start.
//!
//! A batch comes from the dealer, waits in memory or on disk, is staged, is assigned to one connection, and is used or
//! burnt. Single use: the dealer gives each number and each seed once ([`super::store`]); here a batch leaves the pool
//! with its first use, and what a connection leaves behind is burnt. No request makes more than one batch, and what one
//! client holds does not grow with its requests.
//!
//! One thread fetches and another stages: a dealer that is slow or gone does not hold up what waits here.

mod audit;
mod fill;
mod shared;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use sotto_crypto::Seed;
use sotto_protocols::{plan::Plan, weights::Weights};

use super::{
    room::Room,
    store::Store,
    sync::{
        Condvar, Mutex,
        thread::{self, JoinHandle},
    },
    trust::Trust,
};
use crate::{
    dealer_link::{Batches, Names},
    error::Error,
    messages::{Assigned, Epoch, Tag},
    refusal::Refusal,
};
pub use shared::Place;
use shared::Shared;
use state::{Entry, Stage, State};
pub use state::{Holder, Ready};

/// Batches that one connection may hold.
const HELD: usize = 8;

/// A batch that is staged and not used for so long is its holder's no more, whatever the connection does meanwhile.
/// Clients give theirs up earlier.
const FRESH: Duration = Duration::from_secs(90);

/// How often a connection that waits is told so.
const BEAT: Duration = Duration::from_secs(1);

/// Connects to the dealer for batches.
pub type Connect = Box<dyn Fn() -> Result<Batches, Error> + Send + Sync>;

/// What a pool needs to know.
pub struct Terms {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The server's weights.
    pub weights: Arc<Weights>,
    /// Batches that there is memory for, and that are kept ready.
    pub room: Arc<Room>,
    /// Where batches wait; in memory without.
    pub store: Option<Store>,
    /// Our name, as the dealer knows it.
    pub server: String,
    /// What stands beside its numbers in logs.
    pub of: String,
    /// The epoch of the weights' masks.
    pub epoch: Epoch,
    /// The highest number that the dealer gave in this epoch to a pool before.
    pub last: Option<u64>,
    /// What the masks come from, and the share of batches whose dealing is looked at instead of used.
    pub audit: Option<(Seed, f64)>,
    /// What the dealer did before, in whatever session.
    pub trust: Arc<Trust>,
}

/// A running pool.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Told while a connection waits: bytes of the coming batch so far, of how many.
pub type Waiting<'a> = dyn FnMut(u64, u64) -> Result<(), Error> + 'a;

impl Pool {
    /// Starts fetching and staging; what an earlier process left on disk comes first.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn start(terms: Terms, connect: Connect) -> Result<Self, Error> {
        let mut state = State { last: terms.last, ..State::default() };
        if let Some(store) = &terms.store {
            let found = store.recover()?;
            state.last = state.last.max(found.last().map(|names| names.id));
            state.entries.extend(found.into_iter().map(|n| (n.id, Entry::new(n, Stage::Disk))));
        }
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), terms });
        let connect = Arc::new(connect);
        let threads = [fill::fetch_all, fill::stage_all].map(|work| {
            let (shared, connect) = (Arc::clone(&shared), Arc::clone(&connect));
            thread::spawn(move || work(&shared, &connect))
        });
        Ok(Self { shared, threads: Mutex::new(threads.into()) })
    }

    /// Assigns a batch to a connection, fetched where none is here. `deadline` is for the dealer's silence; while bytes
    /// come in, `waiting` is told once a second.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason for the client; `waiting`'s errors.
    pub fn assign(
        &self,
        to: &Holder,
        deadline: Duration,
        waiting: &mut Waiting<'_>,
    ) -> Result<Result<Assigned, Refusal>, Error> {
        let terms = &self.shared.terms;
        {
            let mut state = self.shared.lock();
            state.expire();
            if state.held(to) >= HELD {
                return Ok(Err(Refusal::Busy(HELD)));
            }
            state.waiters += 1;
        }
        let found = self.wait(deadline, waiting, |state| {
            state.expire();
            if state.allows(to, terms) { state.assign(to).map(Ok) } else { None }
        });
        let mut state = self.shared.lock();
        state.waiters -= 1;
        self.shared.changed.notify_all();
        let full = !state.allows(to, terms);
        Ok(match found? {
            Err(Refusal::Exhausted(_)) if full => Err(Refusal::Busy(terms.room.places())),
            other => other,
        })
    }

    /// Up to `count` more batches for a connection, of those that are here and that nobody waits for.
    pub fn assign_ahead(&self, to: &Holder, count: usize) -> Vec<Assigned> {
        let mut state = self.shared.lock();
        state.expire();
        let mut all = Vec::new();
        while all.len() < count
            && state.held(to) < HELD
            && state.waiters == 0
            && 2 * state.assigned() < self.shared.terms.room.places()
            && state.allows(to, &self.shared.terms)
        {
            let Some(assigned) = state.assign(to) else { break };
            all.push(assigned);
        }
        self.shared.changed.notify_all();
        all
    }

    /// Waits until a connection's batch is staged; `Burnt` where it is not the connection's.
    ///
    /// # Errors
    /// As [`Pool::assign`].
    pub fn ready(
        &self,
        holder: &Holder,
        id: u64,
        deadline: Duration,
        waiting: &mut Waiting<'_>,
    ) -> Result<Result<(Tag, u64), Refusal>, Error> {
        self.wait(deadline, waiting, |state| {
            state.expire();
            match state.entries.get(&id).filter(|e| e.holder.as_ref() == Some(holder)) {
                Some(Entry { stage: Stage::Staged(ready), .. }) => {
                    Some(Ok((ready.tag, ready.bytes)))
                }
                Some(_) => None,
                None => Some(Err(Refusal::Burnt(id))),
            }
        })
    }

    /// Takes a connection's staged batch for its one use, and its place.
    pub fn take(&self, holder: &Holder, id: u64) -> Option<(Ready, Place)> {
        let mut state = self.shared.lock();
        state.expire();
        if self.shared.terms.trust.lost().is_some() {
            return None;
        }
        let entry = state.entries.get(&id)?;
        if entry.holder.as_ref() != Some(holder) || !matches!(entry.stage, Stage::Staged(_)) {
            return None;
        }
        let entry = state.entries.remove(&id)?;
        self.shared.changed.notify_all();
        match entry.stage {
            Stage::Staged(ready) => {
                let name = Arc::clone(&holder.name);
                state.in_use.push(Arc::clone(&name));
                Some((ready, Place(Arc::clone(&self.shared), name)))
            }
            _ => None,
        }
    }

    /// Burns what was ready long ago; gives who left how many batches since this was asked last.
    pub fn left(&self) -> BTreeMap<Arc<str>, usize> {
        let mut state = self.shared.lock();
        state.expire();
        std::mem::take(&mut state.left)
    }

    /// Burns what a connection holds; gives how many batches that are.
    pub fn release(&self, holder: &Holder) -> usize {
        let mut state = self.shared.lock();
        let ids: Vec<u64> = (state.entries.iter())
            .filter(|(_, e)| e.holder.as_ref() == Some(holder))
            .map(|(id, _)| *id)
            .collect();
        for id in &ids {
            if let Some(Entry { stage: Stage::Disk, .. }) = state.entries.remove(id) {
                self.burn(*id);
            }
        }
        self.shared.changed.notify_all();
        ids.len()
    }

    /// The highest number that the dealer gave.
    pub fn last(&self) -> Option<u64> {
        self.shared.lock().last
    }

    /// True when the dealer has other masks by now, or it was closed: a new pool is needed.
    pub fn is_stale(&self) -> bool {
        let state = self.shared.lock();
        state.stale || state.closed
    }

    /// Why no batch comes at present.
    pub fn failure(&self) -> Option<String> {
        self.shared.lock().failure.as_ref().map(ToString::to_string)
    }

    /// Batches that wait for a client, and those that clients hold or are evaluating with.
    pub fn batches(&self) -> [usize; 2] {
        let state = self.shared.lock();
        [state.free(), state.assigned()]
    }

    /// Batches that take memory now.
    pub fn in_memory(&self) -> usize {
        self.shared.lock().in_memory()
    }

    /// Burns what nobody holds or waits for and there is no room for any more, or is not to be kept ready.
    pub fn trim(&self) {
        let room = &self.shared.terms.room;
        let mut state = self.shared.lock();
        let mut over = state.in_memory().saturating_sub(room.places());
        let mut extra = state.free().saturating_sub(room.pool().max(state.waiters));
        let mut on_disk = Vec::new();
        state.entries.retain(|id, entry| {
            let disk = matches!(entry.stage, Stage::Disk);
            let goes = entry.is_free() && (extra > 0 || over > 0 && !disk);
            if goes {
                extra = extra.saturating_sub(1);
                over = over.saturating_sub(usize::from(!disk));
                on_disk.extend(disk.then_some(*id));
            }
            !goes
        });
        on_disk.into_iter().for_each(|id| self.burn(id));
        self.shared.changed.notify_all();
    }

    /// Burns a batch's file.
    fn burn(&self, id: u64) {
        if let Some(store) = &self.shared.terms.store
            && let Err(e) = store.burn(id)
        {
            tracing::warn!("batch {id}, {}, is burnt, its file stays: {e}", self.shared.terms.of);
        }
    }

    /// Waits until the pool is stale or closed, at most for `time`.
    pub fn until_stale(&self, time: Duration) {
        let start = Instant::now();
        let mut state = self.shared.lock();
        while !state.stale && !state.closed {
            let Some(left) = time.checked_sub(start.elapsed()) else { return };
            state = self.shared.wait(state, left);
        }
    }

    /// Ends it: connections that wait are told that it is stale.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.entries.clear();
        self.shared.changed.notify_all();
    }

    /// Closes it, and waits until nothing of it runs: for a piece of corrections or an answer of the dealer's at most. What it was
    /// fetching takes memory until then.
    pub fn end(&self) {
        self.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(|e| e.into_inner()));
        for thread in threads {
            drop(thread.join());
        }
    }

    fn wait<T>(
        &self,
        deadline: Duration,
        waiting: &mut Waiting<'_>,
        mut look: impl FnMut(&mut State) -> Option<Result<T, Refusal>>,
    ) -> Result<Result<T, Refusal>, Error> {
        let (mut quiet, mut beat) = (Instant::now(), Instant::now());
        let mut state = self.shared.lock();
        let mut moves = state.moves;
        // Once, and with each beat: those who wait would wake each other without end.
        self.shared.changed.notify_all();
        loop {
            if let Some(why) = self.shared.terms.trust.lost() {
                return Ok(Err(Refusal::NoDealer(why)));
            }
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            if state.closed || state.stale {
                return Ok(Err(Refusal::Stale));
            }
            if state.moves != moves && state.failure.is_none() {
                (moves, quiet) = (state.moves, Instant::now());
            }
            let hopeless = matches!(state.failure, Some(Refusal::NoDealer(_)));
            if hopeless || quiet.elapsed() >= deadline {
                let silent = || Refusal::Exhausted("the dealer is silent".into());
                return Ok(Err(state.failure.clone().unwrap_or_else(silent)));
            }
            if beat.elapsed() >= BEAT {
                let (got, all) = state.coming;
                drop(state);
                waiting(got, all)?;
                beat = Instant::now();
                state = self.shared.lock();
                self.shared.changed.notify_all();
                continue;
            }
            let left =
                (deadline.saturating_sub(quiet.elapsed())).min(BEAT.saturating_sub(beat.elapsed()));
            state = self.shared.wait(state, left);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}
