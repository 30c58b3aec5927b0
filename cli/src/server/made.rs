//! Batches that the server made with its clients, until they are used.
//!
//! A batch belongs to the client with whom it was made and to the link over which it was: with the link goes what it made.
//! Single use: a batch leaves with its one evaluation.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::pool::Ready;
use crate::{messages::Tag, refusal::Refusal};

struct Entry {
    client: Arc<str>,
    link: u64,
    ready: Option<Ready>,
    since: Instant,
}

/// What is being made takes so many times the memory of what is made: measured, rounded up.
const MAKING: usize = 6;

/// A batch that was not used for so long gives way to somebody else's.
const FRESH: Duration = Duration::from_secs(90);

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    /// Whose batches are being evaluated with.
    in_use: Vec<Arc<str>>,
}

impl State {
    fn of(&self, client: &str) -> usize {
        let waiting = self.entries.values().filter(|e| &*e.client == client).count();
        waiting + self.in_use.iter().filter(|c| &***c == client).count()
    }
}

/// All of them.
pub struct Made {
    state: Mutex<State>,
    changed: Condvar,
    /// Batches that there is memory for.
    places: usize,
    /// Of these, how many are for one client.
    share: usize,
}

/// The place of a batch that is in use, until the evaluation is over.
pub struct Place(Arc<Made>, Arc<str>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if let Some(at) = state.in_use.iter().position(|c| *c == self.1) {
            state.in_use.swap_remove(at);
        }
    }
}

impl Made {
    /// None yet.
    pub fn new(places: usize, share: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), places, share })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A number, and a place, for a batch that is about to be made over this link.
    ///
    /// # Errors
    /// [`Refusal::Busy`] where there is no place for it.
    pub fn begin(&self, client: &str, link: u64) -> Result<u64, Refusal> {
        let mut state = self.lock();
        let full = |state: &State| {
            let (all, of) = (state.entries.len() + state.in_use.len(), state.of(client));
            // The last place is for a client that has none.
            let kept = usize::from(of > 0 && self.share < self.places);
            all + kept >= self.places || of >= self.share
        };
        if full(&state) {
            state.entries.retain(|_, e| e.ready.is_none() || e.since.elapsed() < FRESH);
        }
        let makes = |of: &str| {
            let making = state.entries.values().filter(|e| e.ready.is_none());
            making.filter(|e| of.is_empty() || &*e.client == of).count()
        };
        let at_once = (self.places / MAKING).max(2);
        if full(&state) || makes("") >= at_once || makes(client) >= at_once.div_ceil(2) {
            return Err(Refusal::Busy(self.places));
        }
        let id = state.next;
        state.next += 1;
        state
            .entries
            .insert(id, Entry { client: client.into(), link, ready: None, since: Instant::now() });
        Ok(id)
    }

    /// It is made and staged.
    pub fn finish(&self, id: u64, ready: Ready) {
        if let Some(entry) = self.lock().entries.get_mut(&id) {
            (entry.ready, entry.since) = (Some(ready), Instant::now());
        }
        self.changed.notify_all();
    }

    /// Waits until a client's batch is staged: the client may be done before us.
    ///
    /// # Errors
    /// [`Refusal::Burnt`] where it is not this client's, or not made in time.
    pub fn ready(&self, client: &str, id: u64, patience: Duration) -> Result<(Tag, u64), Refusal> {
        let start = Instant::now();
        let mut state = self.lock();
        loop {
            match state.entries.get(&id).filter(|e| &*e.client == client) {
                Some(Entry { ready: Some(ready), link, .. }) => {
                    let (found, link) = ((ready.tag, ready.bytes), *link);
                    // A client uses what a link made in order: what it passed over it has given up.
                    state.entries.retain(|other, e| e.link != link || *other >= id);
                    return Ok(found);
                }
                Some(_) => {}
                None => return Err(Refusal::Burnt(id)),
            }
            let Some(left) = patience.checked_sub(start.elapsed()) else {
                state.entries.remove(&id);
                return Err(Refusal::Burnt(id));
            };
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(e) => e.into_inner().0,
            };
        }
    }

    /// Takes a client's batch for its one use, and its place.
    pub fn take(self: &Arc<Self>, client: &str, id: u64) -> Option<(Ready, Place)> {
        let mut state = self.lock();
        let is_theirs = |e: &Entry| &*e.client == client && e.ready.is_some();
        if !state.entries.get(&id).is_some_and(is_theirs) {
            return None;
        }
        let entry = state.entries.remove(&id)?;
        state.in_use.push(Arc::clone(&entry.client));
        Some((entry.ready?, Place(Arc::clone(self), entry.client)))
    }

    /// Batches that wait for their clients, and those that are being made or evaluated with.
    pub fn batches(&self) -> [usize; 2] {
        let state = self.lock();
        let made = state.entries.values().filter(|e| e.ready.is_some()).count();
        [made, state.entries.len() - made + state.in_use.len()]
    }

    /// Burns what was made over a link that has ended; gives how many batches that are.
    pub fn release(&self, link: u64) -> usize {
        let mut state = self.lock();
        let before = state.entries.len();
        state.entries.retain(|_, e| e.link != link);
        self.changed.notify_all();
        before - state.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_shared_and_batches_are_their_clients() {
        let busy =
            |made: &Made, client, link| matches!(made.begin(client, link), Err(Refusal::Busy(_)));
        // Two are made at once, one for each client.
        let made = Made::new(4, 2);
        let a = made.begin("a", 1).unwrap();
        assert!(busy(&made, "a", 2), "one at a time");
        made.begin("b", 3).unwrap();
        assert!(busy(&made, "c", 4), "there is no memory to make a third");
        // It is not made yet; and it is nobody else's.
        assert!(made.take("a", a).is_none() && made.take("b", a).is_none());
        assert_eq!(made.ready("b", a, Duration::ZERO), Err(Refusal::Burnt(a)));
        assert_eq!(made.release(1), 1);
        assert_eq!(made.ready("a", a, Duration::from_secs(9)), Err(Refusal::Burnt(a)));
        assert_eq!(made.begin("a", 4), Ok(2), "numbers do not come again");
        // What does not come in time is given up.
        assert_eq!(made.ready("a", 2, Duration::ZERO), Err(Refusal::Burnt(2)));
        assert_eq!(made.release(4), 0);
    }
}
