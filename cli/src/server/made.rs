//! Batches that the server makes with its clients, until they are used; and the memory that all of it takes.
//!
//! A batch belongs to the client with whom it is made and to the link over which it is: with the link goes what it made. Those that wait
//! on both disks are no link's ([`sotto_session::shelf`]), and take memory here once they are woken, over the link that uses them.
//! Single use: a batch leaves with its one evaluation. Whatever becomes of it otherwise, its client is charged for it
//! ([`Made::left`]).

mod links;
#[cfg(test)]
mod tests;
mod wake;

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::{pool::Ready, room::Room, standing::Standing};
use crate::{messages::Tag, refusal::Refusal};
pub use links::{Joined, Links};

enum Stage {
    /// It is being made; nobody waits for it any more where it was given up.
    Making { given_up: bool },
    /// It was found on the disk, and is to be opened.
    Waking(Tag),
    /// It comes from the disk, which has it no more.
    Opening,
    /// It is staged.
    Ready(Ready),
}

struct Entry {
    client: Arc<str>,
    link: u64,
    stage: Stage,
    since: Instant,
}

impl Entry {
    fn is_making(&self) -> bool {
        matches!(self.stage, Stage::Making { .. })
    }

    /// Its memory, in batches, where one in the making counts as so many.
    fn weight(&self, making: usize) -> usize {
        if self.is_making() { making } else { 1 }
    }
}

/// A batch that was not used for so long gives way to another.
const FRESH: Duration = Duration::from_secs(90);

/// Who was refused for want of a slot, and asks again within this time, keeps its place in the queue.
const TURN: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    /// Whose batches are being evaluated with.
    in_use: Vec<Arc<str>>,
    /// Batches that were made, or begun, and not used, and that nobody was charged for yet.
    left: BTreeMap<Arc<str>, usize>,
    /// Clients that make nothing and were refused a slot, each once, the first one first, with when it asked last.
    queue: Vec<(Arc<str>, Instant)>,
}

impl State {
    /// Batches of a client, whatever became of them so far.
    fn of(&self, client: &str) -> usize {
        let entries = self.entries.values().filter(|e| &*e.client == client).count();
        entries + self.in_use.iter().filter(|c| &***c == client).count()
    }

    /// Memory of all batches, in batches, where one in the making counts as so many.
    fn weight(&self, making: usize) -> usize {
        self.entries.values().map(|e| e.weight(making)).sum::<usize>() + self.in_use.len()
    }

    /// Batches that are being made with a client, or with all of them.
    fn makes(&self, client: Option<&str>) -> usize {
        let making = self.entries.values().filter(|e| e.is_making());
        making.filter(|e| client.is_none_or(|client| &*e.client == client)).count()
    }

    /// A new entry's number.
    fn add(&mut self, client: &str, link: u64, stage: Stage) -> u64 {
        let id = self.next;
        self.next += 1;
        self.entries
            .insert(id, Entry { client: client.into(), link, stage, since: Instant::now() });
        id
    }

    /// Burns a batch and notes who is charged, also for the place of one that was found and not opened: that one stays on the disk.
    fn burn(&mut self, id: u64) {
        if let Some(entry) = self.entries.remove(&id) {
            *self.left.entry(entry.client).or_default() += 1;
        }
    }

    /// Burns the oldest batch that has waited for too long, of this client before others; of this client `alone` where so.
    fn evict(&mut self, client: &str, alone: bool) -> bool {
        let stale = |e: &&Entry| !e.is_making() && e.since.elapsed() >= FRESH;
        let all = self.entries.iter().filter(|(_, e)| stale(e));
        let theirs = all.filter(|(_, e)| !alone || &*e.client == client);
        let oldest = theirs.min_by_key(|(_, e)| (&*e.client != client, e.since));
        let Some(id) = oldest.map(|(id, _)| *id) else { return false };
        self.burn(id);
        true
    }
}

/// All of them.
pub struct Made {
    state: Mutex<State>,
    changed: Condvar,
    room: Arc<Room>,
    links: Arc<Links>,
}

/// The place of a batch that is in use, until the evaluation is over.
pub struct Place(Arc<Made>, Arc<str>);

impl Drop for Place {
    fn drop(&mut self) {
        leave(&mut self.0.lock().in_use, &self.1);
    }
}

fn leave(all: &mut Vec<Arc<str>>, one: &Arc<str>) {
    if let Some(at) = all.iter().position(|c| c == one) {
        all.swap_remove(at);
    }
}

impl Made {
    /// None yet, over some of a server's links.
    pub fn new(room: Arc<Room>, links: Arc<Links>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), room, links })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn busy(&self) -> Refusal {
        Refusal::Busy(self.room.places())
    }

    /// A link of a client is set up, or goes on with this plan.
    ///
    /// # Errors
    /// [`Refusal::Busy`] where there is no memory for one more.
    pub fn join(&self, (client, standing): (&str, &Arc<Standing>)) -> Result<Joined, Refusal> {
        self.links.join(client, standing).ok_or_else(|| self.busy())
    }

    /// A number, and memory, for a batch that is about to be made over this link.
    ///
    /// # Errors
    /// [`Refusal::Busy`] where there is no memory for it, or others are to have their turn.
    pub fn begin(&self, client: &str, link: u64) -> Result<u64, Refusal> {
        let mut state = self.lock();
        let (places, share, making) = (self.room.places(), self.room.share(), self.room.making());
        // Beside those that are made one waits and one is in use.
        let at_once = (places.saturating_sub(2) / making.max(1)).max(1);
        while state.of(client) >= share {
            if !state.evict(client, true) {
                return Err(self.busy());
            }
        }
        state.queue.retain(|(other, at)| &**other == client || at.elapsed() < TURN);
        let place = state.queue.iter().position(|(other, _)| &**other == client);
        let before = place.unwrap_or(state.queue.len());
        let theirs = state.makes(Some(client));
        // The last place is for a client that has none.
        let kept = |state: &State| usize::from(state.of(client) > 0 && share < places);
        let mut room = true;
        while room && state.weight(making) + making + kept(&state) > places {
            room = state.evict(client, false);
        }
        // The last slot is for a client that makes none; those go first who wait for longest, however often others ask.
        let all = state.makes(None);
        let is_last = all + 1 == at_once;
        let full = all + before >= at_once || theirs >= (at_once / 2).max(1);
        if !room || full || is_last && theirs > 0 {
            // Who lacks memory alone, or makes some already, holds nobody up.
            if full && theirs == 0 {
                match place {
                    Some(at) => state.queue[at].1 = Instant::now(),
                    None => state.queue.push((client.into(), Instant::now())),
                }
            }
            return Err(self.busy());
        }
        place.map(|at| state.queue.remove(at));
        Ok(state.add(client, link, Stage::Making { given_up: false }))
    }

    /// It waits on both disks, or is lost by no fault of its client's: it takes no memory any more.
    pub fn stored(&self, id: u64) {
        self.lock().entries.remove(&id);
        self.changed.notify_all();
    }

    /// It is of no use: its client is charged.
    pub fn burn(&self, id: u64) {
        self.lock().burn(id);
        self.changed.notify_all();
    }

    /// It is made and staged; burnt where nobody waits for it any more.
    pub fn finish(&self, id: u64, ready: Ready) {
        let mut state = self.lock();
        match state.entries.get_mut(&id) {
            Some(Entry { stage: Stage::Making { given_up: true }, .. }) => state.burn(id),
            Some(entry) => (entry.stage, entry.since) = (Stage::Ready(ready), Instant::now()),
            None => {}
        }
        self.changed.notify_all();
    }

    /// Waits until a client's batch is staged: the client may be done before us.
    ///
    /// # Errors
    /// [`Refusal::Burnt`] where it is not this client's, or not made in time. What is still being made keeps its memory until
    /// it is.
    pub fn ready(&self, client: &str, id: u64, patience: Duration) -> Result<(Tag, u64), Refusal> {
        let start = Instant::now();
        let mut state = self.lock();
        loop {
            let entry = state.entries.get_mut(&id).filter(|e| &*e.client == client);
            let entry = entry.ok_or(Refusal::Burnt(id))?;
            match &mut entry.stage {
                Stage::Ready(ready) => {
                    let (found, link) = ((ready.tag, ready.bytes), entry.link);
                    // A client uses what a link made in order: what it passed over it has given up.
                    let before: Vec<u64> = (state.entries.range(..id))
                        .filter(|(_, e)| e.link == link)
                        .map(|(id, _)| *id)
                        .collect();
                    before.into_iter().for_each(|id| state.burn(id));
                    return Ok(found);
                }
                Stage::Making { given_up: true } | Stage::Waking(_) | Stage::Opening => {
                    return Err(Refusal::Burnt(id));
                }
                Stage::Making { given_up } => {
                    let Some(left) = patience.checked_sub(start.elapsed()) else {
                        *given_up = true;
                        return Err(Refusal::Burnt(id));
                    };
                    state = match self.changed.wait_timeout(state, left) {
                        Ok((state, _)) => state,
                        Err(e) => e.into_inner().0,
                    };
                }
            }
        }
    }

    /// Takes a client's batch for its one use, and its place.
    pub fn take(self: &Arc<Self>, client: &str, id: u64) -> Option<(Ready, Place)> {
        let mut state = self.lock();
        let is_theirs = |e: &Entry| &*e.client == client && matches!(e.stage, Stage::Ready(_));
        if !state.entries.get(&id).is_some_and(is_theirs) {
            return None;
        }
        let Entry { client, stage: Stage::Ready(ready), .. } = state.entries.remove(&id)? else {
            return None;
        };
        state.in_use.push(Arc::clone(&client));
        Some((ready, Place(Arc::clone(self), client)))
    }

    /// Batches of a client that are being made, wait, or are in use.
    pub fn of(&self, client: &str) -> usize {
        self.lock().of(client)
    }

    /// Places that are taken now.
    pub fn taken(&self) -> usize {
        self.lock().weight(self.room.making())
    }

    /// Batches that wait for their clients, and those that are being made or evaluated with.
    pub fn batches(&self) -> [usize; 2] {
        let state = self.lock();
        let making = state.makes(None);
        [state.entries.len() - making, making + state.in_use.len()]
    }

    /// Burns what was made over a link that has ended.
    pub fn release(&self, link: u64) {
        let mut state = self.lock();
        let theirs = state.entries.iter().filter(|(_, e)| e.link == link);
        let theirs: Vec<u64> = theirs.map(|(id, _)| *id).collect();
        theirs.into_iter().for_each(|id| state.burn(id));
        self.changed.notify_all();
    }

    /// Who left how many batches unused since this was asked last.
    pub fn left(&self) -> BTreeMap<Arc<str>, usize> {
        std::mem::take(&mut self.lock().left)
    }
}
