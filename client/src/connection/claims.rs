//! The client's part of the batches that the server assigned to it: claimed from the dealer and staged ahead of time.
//!
//! The dealer gives each part once, so nothing is kept on a disk and nothing survives this process. One thread claims
//! and stages, in the order of assignment, while the evaluation before is under way.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use sotto_protocols::{
    Role,
    batch::Staged,
    cost::SEED_BYTES,
    plan::{Plan, Traffic},
    weights::Weights,
};

use super::numbers::Numbers;
use sotto_session::{
    card::of,
    dealer_link::Batches,
    error::Error,
    messages::{Assigned, Epoch, Tag},
    waiting::Waiting,
};

/// Connects to the dealer.
pub(super) type Connect = Box<dyn Fn() -> Result<Batches, Error> + Send>;

/// A batch that was not used for so long is given up: the server does so, too, somewhat later.
const FRESH: Duration = Duration::from_secs(45);

/// A client's part, ready for the first online byte.
pub(super) struct Ready {
    pub id: u64,
    pub staged: Staged,
    /// The deal's tag, as the dealer says it.
    pub tag: Tag,
    /// Seed and corrections as received; without a dealer, all that crossed.
    pub bytes: u64,
    /// Sequential message times, without a dealer.
    pub flights: u64,
    /// It waited on a disk: bytes and flights were before.
    pub waited: bool,
    since: Instant,
}

impl Ready {
    /// One that was made with the server, just now.
    pub fn made(id: u64, staged: Staged, tag: Tag, traffic: &Traffic) -> Self {
        let (bytes, flights) = (traffic.from_server + traffic.from_client, traffic.flights);
        Self { id, staged, tag, bytes, flights, waited: false, since: Instant::now() }
    }

    /// One that was made with the server before, and waited on both disks.
    pub fn waited(id: u64, staged: Staged, tag: Tag, traffic: &Traffic) -> Self {
        Self { waited: true, ..Self::made(id, staged, tag, traffic) }
    }

    /// Whether the server has it, too, if it has not failed.
    pub fn is_fresh(&self) -> bool {
        self.since.elapsed() <= FRESH
    }
}

#[derive(Default)]
struct State {
    assigned: VecDeque<(Assigned, Instant)>,
    /// The one that is being claimed.
    claiming: Option<u64>,
    ready: VecDeque<Result<Ready, Error>>,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    deal: Deal,
}

/// What the client's parts are of.
pub(super) struct Deal {
    pub plan: Arc<Plan>,
    pub weights: Arc<Weights>,
    pub server: String,
    pub epoch: Epoch,
    /// Of all connections of this process.
    pub numbers: Arc<Mutex<Numbers>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A running thread that claims.
pub(super) struct Claims(Arc<Shared>);

impl Claims {
    pub fn start(deal: Deal, connect: Connect) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { state, changed, deal });
        let claiming = Arc::clone(&shared);
        thread::spawn(move || claim_all(&claiming, &connect));
        Self(shared)
    }

    /// Claims these, in their order.
    pub fn add(&self, assigned: impl IntoIterator<Item = Assigned>) {
        let all = assigned.into_iter().map(|a| (a, Instant::now()));
        self.0.lock().assigned.extend(all);
        self.0.changed.notify_all();
    }

    /// Gives up all that was assigned so far, also what is being claimed.
    pub fn give_up(&self) {
        let mut state = self.0.lock();
        (state.claiming, state.assigned, state.ready) = <_>::default();
    }

    /// Batches that are assigned: claimed, being claimed or yet to be.
    pub fn count(&self) -> usize {
        let state = self.0.lock();
        state.assigned.len() + usize::from(state.claiming.is_some()) + state.ready.len()
    }

    /// Batches that are here.
    pub fn ready(&self) -> usize {
        self.0.lock().ready.iter().filter(|r| r.is_ok()).count()
    }

    /// The next batch's number; what is too old is given up before.
    pub fn first(&self) -> Option<u64> {
        let mut state = self.0.lock();
        let old = |since: &Instant| since.elapsed() > FRESH;
        state.ready.retain(|r| !r.as_ref().is_ok_and(|r| old(&r.since)));
        state.assigned.retain(|(_, since)| !old(since));
        let ready = state.ready.iter().find_map(|r| r.as_ref().ok().map(|r| r.id));
        ready.or(state.claiming).or(state.assigned.front().map(|(a, _)| a.id))
    }

    /// Waits for the next one; `None` where none is assigned.
    ///
    /// # Errors
    /// What claiming met; [`Error::Exhausted`] after `deadline`.
    pub fn next(&self, deadline: Duration) -> Result<Option<Ready>, Error> {
        let start = Instant::now();
        let _waiting = Waiting::until("the dealer to give a batch");
        let mut state = self.0.lock();
        loop {
            if let Some(ready) = state.ready.pop_front() {
                return ready.map(Some);
            }
            if state.claiming.is_none() && state.assigned.is_empty() {
                return Ok(None);
            }
            let Some(left) = deadline.checked_sub(start.elapsed()) else {
                return Err(Error::Exhausted {
                    waited: start.elapsed().as_secs(),
                    why: "the dealer does not answer in time".into(),
                    remedy: "start the dealer, or raise `deadline`".into(),
                });
            };
            state = match self.0.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(e) => e.into_inner().0,
            };
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

fn claim_all(shared: &Shared, connect: &Connect) {
    let mut link = None;
    loop {
        let (assigned, since) = {
            let mut state = shared.lock();
            loop {
                if state.closed {
                    return;
                }
                if let Some(next) = state.assigned.pop_front() {
                    state.claiming = Some(next.0.id);
                    break next;
                }
                state = shared.changed.wait(state).unwrap_or_else(|e| e.into_inner());
            }
        };
        let id = assigned.id;
        let result = claim(shared, connect, &mut link, assigned, since);
        if result.is_err() {
            link = None;
        }
        let mut state = shared.lock();
        // It may have been given up meanwhile.
        if state.claiming.take_if(|claiming| *claiming == id).is_some() {
            state.ready.push_back(result);
        }
        shared.changed.notify_all();
    }
}

fn claim(
    shared: &Shared,
    connect: &Connect,
    link: &mut Option<Batches>,
    assigned: Assigned,
    since: Instant,
) -> Result<Ready, Error> {
    let id = assigned.id;
    let (start, known) = (Instant::now(), link.is_some());
    let once = |link: &mut Option<Batches>| match link {
        Some(open) => open.claim(assigned.clone(), &shared.deal.plan),
        None => link.insert(connect()?).claim(assigned.clone(), &shared.deal.plan),
    };
    let mut claimed = once(link);
    let again = match (&claimed, &link) {
        // Nobody is there.
        (_, None) => false,
        // The dealer was started again, or the link is old: it is not dead for that.
        (Err(Error::Net(sotto_net::Error::Link { .. })), _) => true,
        (Err(Error::Net(sotto_net::Error::Deadline { .. })), _) => known,
        _ => false,
    };
    if again {
        *link = None;
        claimed = once(link);
    }
    let (batch, names) = claimed.map_err(|e| unreachable(e, start))?;
    let Deal { plan, weights, server, epoch, numbers } = &shared.deal;
    names.check(server, epoch, Role::Client, &batch.seed)?;
    if !numbers.lock().unwrap_or_else(|e| e.into_inner()).is_new(epoch, id) {
        let of = of(server, &plan.hash(), Some(epoch));
        return Err(Error::Distrust(format!("it gave batch {id}, {of}, a second time")));
    }
    let bytes = SEED_BYTES + batch.corrections.as_ref().map_or(0, |c| c.len() as u64);
    let staged = batch.stage(plan, Role::Client, weights)?;
    Ok(Ready { id, staged, tag: names.tag, bytes, flights: 0, waited: false, since })
}

/// A dealer that is not there is a lack of correlations.
fn unreachable(e: Error, since: Instant) -> Error {
    match e {
        Error::Net(sotto_net::Error::Link { .. } | sotto_net::Error::Deadline { .. }) => {
            Error::Exhausted {
                waited: since.elapsed().as_secs(),
                why: e.to_string(),
                remedy: "start the dealer, or raise `deadline`".into(),
            }
        }
        e => e,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use sotto_protocols::plan::Trace;
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn what_is_given_up_while_it_is_claimed_is_not_kept() {
        let mut trace = Trace::new();
        let input = trace.input(&[1], 20, 4);
        let revealed = trace.reveal(input, 16);
        let deal = Deal {
            plan: Arc::new(trace.finish(&[revealed])),
            weights: Arc::new(Weights::Plain(Vec::new())),
            server: "server".into(),
            epoch: [1; 16],
            numbers: Arc::default(),
        };
        let (begun, begins) = mpsc::channel();
        let (go, goes) = mpsc::channel();
        let connect = move || {
            begun.send(()).unwrap();
            goes.recv().unwrap();
            Err(Error::Config("nobody is there".into()))
        };
        let claims = Claims::start(deal, Box::new(connect));
        let assigned = |id| [Assigned { id, ticket: Zeroizing::new([0; 16]) }];
        claims.add(assigned(1));
        begins.recv().unwrap();
        claims.add(assigned(2));
        assert_eq!(claims.count(), 2);
        claims.give_up();
        assert_eq!((claims.count(), claims.first()), (0, None));
        claims.add(assigned(3));
        for _ in 0..2 {
            go.send(()).unwrap();
        }
        let wait = Duration::from_secs(20);
        assert!(claims.next(wait).is_err(), "that of the last one");
        assert!(claims.next(wait).unwrap().is_none(), "and no other");
    }
}
