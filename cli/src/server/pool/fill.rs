//! The pool's two threads: one fetches from the dealer, one stages.

use std::{sync::Arc, time::Duration};

use sotto_protocols::{Role, batch::Batch, cost::SEED_BYTES};

use super::{Connect, Entry, Names, Ready, Shared, Stage, State, audit};
use crate::{
    dealer_link::{Batches, Part},
    error::Error,
    refusal::Refusal,
};

/// Pause after a first failure; it doubles with each.
const PAUSE: Duration = Duration::from_millis(200);

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// A thread that has nothing to do looks again after this time, whether it was woken or not.
const IDLE: Duration = Duration::from_secs(60);

/// Batches that are staged for whoever comes.
const STAGED: usize = 1;

/// A link to the dealer that is opened when it is needed, and its failures.
struct Line<'a> {
    shared: &'a Shared,
    connect: &'a Connect,
    link: Option<Batches>,
    pause: Duration,
}

impl<'a> Line<'a> {
    fn new(shared: &'a Shared, connect: &'a Connect) -> Self {
        Self { shared, connect, link: None, pause: PAUSE }
    }

    /// `Err(None)` when the dealer will never give another.
    fn open(&mut self) -> Result<&mut Batches, Option<Error>> {
        let link = match self.link.take() {
            Some(link) => link,
            None => (self.connect)().map_err(unless_stale)?,
        };
        Ok(self.link.insert(link))
    }

    /// Notes how an attempt ended; after a failure the next one waits.
    fn done(&mut self, result: Result<(), Option<Error>>) {
        let mut state = self.shared.lock();
        match result {
            Ok(()) => {
                state.failure = None;
                self.pause = PAUSE;
            }
            Err(None) => {
                state.stale = true;
                state.failure = Some(Refusal::Exhausted("the dealer was restarted".into()));
            }
            Err(Some(e @ Error::Distrust(_))) => {
                tracing::error!("{e}; nothing of it is used any more, restart to try again");
                self.shared.terms.trust.lose(e.to_string());
                state.entries.clear();
            }
            // Nobody needs the batch any more.
            Err(Some(Error::Stopped)) => self.link = None,
            Err(Some(e)) => {
                let broken = matches!(e, Error::Net(sotto_net::Error::Link { .. }));
                let was_open = self.link.take().is_some();
                self.shared.failed(&mut state, &e);
                if broken && was_open && self.pause == PAUSE {
                    // A dealer that was started again is there at once.
                    self.pause = 2 * PAUSE;
                    return;
                }
                let until = |s: &mut State| !s.closed;
                drop(self.shared.changed.wait_timeout_while(state, self.pause, until));
                // What fails after the dealer has dealt, such as a full disk, burns a batch each time.
                self.pause = LONGEST.min(2 * self.pause);
                return;
            }
        }
        self.shared.changed.notify_all();
    }
}

/// `None` for a dealer that will never give another.
fn unless_stale(e: Error) -> Option<Error> {
    match e {
        Error::Refused { why: Refusal::Stale | Refusal::NotAnnounced { .. }, .. } => None,
        e => Some(e),
    }
}

/// Waits until there is something to do; `None` at the end.
fn until<T>(shared: &Shared, mut look: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
    let mut state = shared.lock();
    loop {
        if state.closed || state.stale || shared.terms.trust.lost().is_some() {
            return None;
        }
        if let Some(found) = look(&mut state) {
            return Some(found);
        }
        state = shared.wait(state, IDLE);
    }
}

/// Keeps as many batches as are wanted, in the places that there are.
pub(super) fn fetch_all(shared: &Arc<Shared>, connect: &Arc<Connect>) {
    let terms = &shared.terms;
    let mut line = Line::new(shared, connect);
    let wanted = |state: &mut State| {
        let wanted = state.free() < terms.room.pool().max(state.waiters);
        (wanted && state.in_memory() < terms.room.places()).then_some(())
    };
    while until(shared, wanted).is_some() {
        let result = fetch(shared, &mut line);
        if result.is_err() {
            shared.lock().entries.retain(|_, e| !matches!(e.stage, Stage::Coming));
        }
        line.done(result);
    }
}

fn fetch(shared: &Shared, line: &mut Line<'_>) -> Result<(), Option<Error>> {
    let audited = audit::wanted(&shared.terms)?;
    let link = line.open()?;
    let mut announce = |names: &Names| {
        if audit::is_blind(&shared.terms, names) {
            let why = "it gives corrections to the client, where `audit` does not see them; set \
                       `corrections = \"server\"` there, or `audit = 0` here";
            return Err(Error::Distrust(why.into()));
        }
        let mut state = shared.lock();
        if state.last.is_some_and(|last| last >= names.id) {
            let why = format!("it gave batch {}, {}, a second time", names.id, shared.terms.of);
            return Err(Error::Distrust(why));
        }
        state.last = Some(names.id);
        // What is for the disk is nobody's before it is there.
        if shared.terms.store.is_none() && !audited {
            state.entries.insert(names.id, Entry::new(names.clone(), Stage::Coming));
        }
        state.coming = (0, names.corrections);
        state.failure = None;
        state.moves += 1;
        shared.changed.notify_all();
        Ok(())
    };
    let progress = |got, all| {
        let mut state = shared.lock();
        // A dealer that drips would hold a pool that nobody needs, and half a batch.
        if state.closed || state.stale {
            return Err(Error::Stopped);
        }
        state.coming = (got, all);
        state.moves += 1;
        shared.changed.notify_all();
        Ok(())
    };
    let with_seed = shared.terms.store.is_none();
    let fetched = link.next(&shared.terms.plan, with_seed, &mut announce, &progress);
    let part = fetched.map_err(unless_stale)?;
    let id = part.names.id;
    if audited {
        audit::check(&shared.terms, link, &part)?;
        tracing::info!("batch {id}, {}, was dealt as it should be; it is burnt", shared.terms.of);
        return Ok(());
    }
    let Part { names, seed, corrections } = part;
    let stage = match (&shared.terms.store, seed) {
        (None, Some(seed)) => Stage::Memory(seed, corrections),
        (Some(store), _) => {
            store.put(&names, corrections.as_deref().unwrap_or_default())?;
            Stage::Disk
        }
        (None, None) => unreachable!("a batch for memory comes with its seed"),
    };
    let mut state = shared.lock();
    match (state.entries.get_mut(&id), stage) {
        (Some(entry), stage) => entry.stage = stage,
        (None, Stage::Disk) => {
            state.entries.insert(id, Entry::new(names, Stage::Disk));
        }
        // Whoever held it has gone meanwhile.
        (None, _) => {}
    }
    tracing::info!("batch {id}, {}, from the dealer, {} ready", shared.terms.of, state.free());
    Ok(())
}

/// Stages what is assigned, and one batch ahead of that.
pub(super) fn stage_all(shared: &Arc<Shared>, connect: &Arc<Connect>) {
    let mut line = Line::new(shared, connect);
    let next = |state: &mut State| {
        let raw = |e: &Entry| matches!(e.stage, Stage::Memory(..) | Stage::Disk);
        let staged = |e: &Entry| e.is_free() && matches!(e.stage, Stage::Staged(_));
        let ahead =
            state.entries.values().filter(|e| staged(e)).count() < STAGED.max(state.waiters);
        let room = state.in_memory() < shared.terms.room.places();
        let mut waiting = state.entries.iter_mut().filter(|(_, e)| raw(e));
        let held = waiting.find(|(_, e)| !e.is_free()).map(|(id, _)| *id);
        let first = |state: &State| {
            let mut free = state.entries.iter().filter(|(_, e)| raw(e) && e.is_free());
            free.find(|(_, e)| room || matches!(e.stage, Stage::Memory(..))).map(|(id, _)| *id)
        };
        let id = held.or_else(|| first(state).filter(|_| ahead))?;
        let entry = state.entries.get_mut(&id)?;
        let raw = std::mem::replace(&mut entry.stage, Stage::Staging);
        Some((entry.names.clone(), raw))
    };
    while let Some((names, raw)) = until(shared, next) {
        let (id, tag) = (names.id, names.tag);
        let on_disk = matches!(raw, Stage::Disk);
        let result = stage(shared, &mut line, &names, raw);
        let mut state = shared.lock();
        let result = match result {
            Ok(Some((staged, bytes))) => {
                // Whoever held it may have gone: then it is burnt.
                if let Some(entry) = state.entries.get_mut(&id) {
                    entry.stage = Stage::Staged(Ready { staged, tag, bytes });
                    entry.since = std::time::Instant::now();
                }
                Ok(())
            }
            Ok(None) => {
                state.entries.remove(&id);
                Ok(())
            }
            // The dealer could not be asked: what is on disk stays there.
            Err(e) if on_disk && is_silence(&e) => {
                if let Some(entry) = state.entries.get_mut(&id) {
                    entry.stage = Stage::Disk;
                }
                Err(e)
            }
            Err(e) => {
                state.entries.remove(&id);
                Err(e)
            }
        };
        drop(state);
        line.done(result);
    }
}

fn is_silence(e: &Option<Error>) -> bool {
    matches!(e, Some(Error::Net(_)))
}

/// Expands a batch; `None` where another process has its seed.
fn stage(
    shared: &Shared,
    line: &mut Line<'_>,
    names: &Names,
    raw: Stage,
) -> Result<Option<(sotto_protocols::batch::Staged, u64)>, Option<Error>> {
    let id = names.id;
    let (seed, corrections) = match (raw, &shared.terms.store) {
        (Stage::Memory(seed, corrections), _) => (seed, corrections),
        (_, Some(store)) => {
            let seed = match line.open()?.seed(id) {
                Ok(seed) => seed,
                Err(Error::Refused { why: Refusal::Burnt(_), .. }) => {
                    let of = &shared.terms.of;
                    tracing::warn!("batch {id}, {of}, on disk was used elsewhere: it is burnt");
                    store.burn(id)?;
                    return Ok(None);
                }
                Err(e) => return Err(unless_stale(e)),
            };
            (seed, Some(store.take(id)?).filter(|c| !c.is_empty()))
        }
        (_, None) => unreachable!("only a store puts batches on disk"),
    };
    let bytes = SEED_BYTES + corrections.as_ref().map_or(0, |c| c.len() as u64);
    let terms = &shared.terms;
    names.check(&terms.server, &terms.epoch, Role::Server, &seed)?;
    let batch = Batch { id, seed, corrections };
    let staged = batch.stage(&terms.plan, Role::Server, &terms.weights).map_err(Error::from)?;
    Ok(Some((staged, bytes)))
}
