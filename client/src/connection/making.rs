//! The client's part of the batches that it makes with the server: ahead of time, over a link of their own.
//!
//! One thread makes, while the evaluation before is under way. What evaluations are expected to need is staged in memory and goes with
//! this process. Where there is a pool folder, and the server has one, batches are made for it while nobody evaluates: they wait on
//! both disks ([`sotto_session::shelf`]).

mod shared;
mod shop;

use std::{
    cell::Cell,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sotto_models::length::Length;
use sotto_net::Link;
use sotto_protocols::{Role, cost::Cost, plan::Plan, weights::Weights};
use sotto_session::{
    error::Error,
    keeping::{Lost, keep},
    messages::{self, Keep, Reply, Request, Secret, step},
    shelf::{Of, Record, Shelf},
    waiting::Waiting,
};

use super::claims::Ready;
pub(super) use shared::Evaluating;
use shared::{End, Job, PAUSE, Shared};
pub(crate) use shop::{Shop, Source};

/// What waits for one server on the client's disk, and on the server's.
#[derive(Clone)]
pub(crate) struct Pool {
    pub shelf: Arc<Shelf>,
    /// What is made now.
    pub of: Of,
    /// Batches to have on the disks.
    pub most: usize,
}

impl Pool {
    /// Batches that wait.
    pub fn count(&self) -> usize {
        self.shelf.count_of(&self.of)
    }
}

/// A running thread that makes.
pub(super) struct Making {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Option<Shop>>>,
    /// What waits on disks.
    pub pool: Option<Pool>,
    /// What the recipe predicts.
    pub cost: Cost,
    /// How long the server may be silent.
    deadline: Duration,
}

/// What batches are made for.
pub(super) struct Work {
    pub plan: Arc<Plan>,
    pub weights: Arc<Weights>,
    pub pool: Option<Pool>,
    /// How long one may be in the making.
    pub longest: Duration,
}

impl Making {
    /// Goes on over a link that is set up, or over one that is when it is needed.
    pub fn start(source: Source, work: Work, shop: Option<Shop>) -> Self {
        let shared = Arc::new(Shared::default());
        let (pool, cost, deadline) = (work.pool.clone(), source.cost, source.patience);
        let making = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut maker =
                Maker { shared: &making, source: &source, work: &work, shop, last: None };
            let done = maker.run();
            let (kept, failed) = match done {
                Ok(end) => (end != End::Leave, None),
                Err(e) => (false, Some(e)),
            };
            let shop = maker.shop;
            making.fail(failed);
            shop.filter(|_| kept)
        });
        Self { shared, thread: Some(thread), pool, cost, deadline }
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

    /// Batches that wait on the disk.
    pub fn waiting(&self) -> usize {
        self.pool.as_ref().map_or(0, Pool::count)
    }

    /// Bytes of setups that crossed since this was started, or asked last.
    pub fn take_setups(&self) -> u64 {
        std::mem::take(&mut self.shared.lock().setups) * self.cost.setup_bytes
    }

    /// Whether it has failed: what it made in memory is burnt with the server's part of it.
    pub fn failed(&self) -> bool {
        self.shared.lock().failed.is_some()
    }

    /// An evaluation, to which making for the disk gives way, until what is given is dropped.
    pub fn evaluating(&self) -> Evaluating {
        Evaluating::begin(&self.shared)
    }

    /// Waits for the next batch, and has `ahead` more here or on the disk after it. `None` where one waits on the disk.
    ///
    /// # Errors
    /// What making met; [`Error::Exhausted`] when the server is silent for too long.
    pub fn next(&self, ahead: usize) -> Result<Option<Ready>, Error> {
        let _waiting = Waiting::until("correlated randomness to be made with the server");
        let lacks = (1 + ahead).saturating_sub(self.waiting());
        let _wants = self.shared.want(lacks, ahead.min(lacks));
        self.wait(|state| match state.ready.pop_front() {
            Some(ready) => Some(Ok(Some(ready))),
            None if self.waiting() > 0 => Some(Ok(None)),
            None => state.failure().map(Err),
        })
    }

    /// Has the disks filled now, and waits until they are; gives how many batches wait there.
    ///
    /// # Errors
    /// As [`Making::next`]; [`Error::Config`] where there is no pool.
    pub fn fill(&self, told: &mut dyn FnMut(usize)) -> Result<usize, Error> {
        let Some(pool) = self.pool.as_ref() else {
            let why = "there is no pool to fill: set `pool_folder`, and `pool` to more than 0, on both sides";
            return Err(Error::Config(why.into()));
        };
        self.shared.at_once();
        self.wait(|state| {
            told(pool.count());
            let full = pool.count() >= pool.most;
            if full { Some(Ok(pool.count())) } else { state.unfilled().map(Err) }
        })
    }

    fn wait<T>(
        &self,
        mut look: impl FnMut(&mut shared::State) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let deadline = self.deadline;
        let mut state = self.shared.lock();
        let (mut moves, mut quiet) = (state.moves, Instant::now());
        loop {
            if let Some(found) = look(&mut state) {
                return found;
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
            state = self.shared.wait(state, left);
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.shared.close(End::Leave);
    }
}

/// What the thread works with.
struct Maker<'a> {
    shared: &'a Shared,
    source: &'a Source,
    work: &'a Work,
    shop: Option<Shop>,
    /// The batch that was made last over this link.
    last: Option<u64>,
}

impl Maker<'_> {
    /// Makes as many as are wanted, until nobody wants any more.
    fn run(&mut self) -> Result<End, Error> {
        loop {
            let pool = self.work.pool.as_ref();
            match self.shared.job(&|| pool.is_some_and(|pool| pool.count() < pool.most)) {
                Job::End(end) => {
                    self.end(end)?;
                    return Ok(end);
                }
                Job::Make => self.make(None)?,
                Job::Fill => {
                    // A pool that is not full holds nobody up.
                    if let Err(e) = self.make(pool) {
                        tracing::info!("the pool on the disk is not filled: {e}");
                        if matches!(e, Error::Net(_) | Error::Protocol(_)) {
                            self.shop = None;
                        }
                        self.shared.put_off(e);
                    }
                }
            }
        }
    }

    fn end(&mut self, end: End) -> Result<(), Error> {
        let Some((link, _)) = &mut self.shop else { return Ok(()) };
        match end {
            End::Leave => {
                messages::send(link, step::REQUEST, &Request::Bye)?;
                drop(link.finish());
            }
            End::Part(length) => {
                messages::send(link, step::REQUEST, &Request::Length { length })?;
            }
        }
        Ok(())
    }

    /// Makes a batch, for the pool where one is given, else for memory. A server that has no place for one is asked again, for memory.
    fn make(&mut self, pool: Option<&Pool>) -> Result<(), Error> {
        if self.shop.is_none() {
            self.shop = Some(self.source.open(&|_, _| Ok(()))?);
            self.last = None;
            self.shared.lock().setups += 1;
        }
        let Some((link, workshop)) = &mut self.shop else { return Ok(()) };
        let ours = pool.map(|_| Secret::random()).transpose()?;
        let keeps = ours.clone().zip(pool);
        let keeps = keeps.map(|(pad, pool)| Keep { folder: pool.shelf.id(), pad });
        messages::send(link, step::REQUEST, &Request::Make { keep: keeps })?;
        let (id, theirs) = match messages::recv(link, step::REPLY)? {
            // Each with a number of its own.
            Reply::Making { id, pad } if self.last < Some(id) => (id, pad),
            // It does not count as a sign of life: who waits for a place waits no longer than for a silent server.
            Reply::Refused(why) if pool.is_none() && !why.is_final() => {
                thread::sleep(PAUSE);
                return Ok(());
            }
            Reply::Refused(why) => {
                return Err(Error::Refused { peer: link.peer().to_owned(), why });
            }
            _ => return Err(messages::unasked(link, step::REPLY)),
        };
        self.last = Some(id);
        // The server waits meanwhile, and must not give up.
        let (left, shared) = (Cell::new(self.source.deadline / 2), self.shared);
        let moved = || {
            shared.moved();
            if pool.is_some() {
                shared.give_way(&left);
            }
        };
        let (batch, traffic) = workshop.make(link, id, self.work.longest, &moved)?;
        match (pool, ours, theirs) {
            (Some(pool), Some(ours), Some(theirs)) => {
                let name = (pool.shelf.id(), workshop.tag(id));
                let record = Record::new(pool.of.clone(), name, traffic);
                match keep(link, &pool.shelf, [&ours, &theirs], record, batch)? {
                    None => shared.filled(),
                    Some(Lost::Here(e)) => return Err(e),
                    Some(Lost::There) => {
                        return Err(Error::Exhausted {
                            waited: 0,
                            why: "the server cannot store its part of a batch".into(),
                            remedy: "see its log".into(),
                        });
                    }
                }
            }
            (None, None, None) => {
                let Work { plan, weights, .. } = self.work;
                let staged = batch.stage(plan, Role::Client, weights)?;
                shared.add(Ready::made(id, staged, workshop.tag(id), &traffic));
            }
            // It has said that it keeps some.
            _ => return Err(messages::unasked(link, step::REPLY)),
        }
        Ok(())
    }
}
