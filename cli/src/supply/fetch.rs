//! The fetching thread: keeps the pool full.

use std::time::Duration;

use sotto_crypto::Seed;
use sotto_net::{Link, QuicLink};
use sotto_protocols::batch::Batch;

use super::{Connect, Shared, Waiting};
use crate::{
    error::Error,
    messages::{self, Dealt, Next, step},
};

/// Pause after a first failure; it doubles with each.
const PAUSE: Duration = Duration::from_millis(200);

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// What became of an attempt.
enum Fetched {
    New(Waiting),
    /// The dealer will never give another, and why.
    Stale(String),
}

/// Fetches until the supply is closed or stale.
pub(super) fn fill(shared: &Shared, connect: &Connect) {
    let mut link: Option<QuicLink> = None;
    let mut pause = PAUSE;
    let mut lowest = shared.lock().waiting.back().map_or(0, |w| w.id() + 1);
    loop {
        let from = {
            let mut state = shared.lock();
            loop {
                if state.closed || state.stale {
                    return;
                }
                if state.total() < shared.terms.pool.max(state.wanted) {
                    break lowest.max(state.from);
                }
                state = shared.sleep(state);
            }
        };
        let result = fetch(shared, connect, &mut link, from);
        let mut state = shared.lock();
        match result {
            Ok(Fetched::New(waiting)) => {
                let id = waiting.id();
                lowest = id + 1;
                state.waiting.push_back(waiting);
                state.failure = None;
                pause = PAUSE;
                tracing::info!("batch {id} from the dealer, {} ready", state.total());
            }
            Ok(Fetched::Stale(why)) => {
                state.stale = true;
                state.failure = Some(why);
            }
            Err(e) => {
                link = None;
                shared.failed(&mut state, &e);
                drop(shared.changed.wait_timeout_while(state, pause, |s| !s.closed));
                // What fails after the dealer has dealt, such as a full disk, burns a batch each time.
                pause = LONGEST.min(2 * pause);
                continue;
            }
        }
        shared.changed.notify_all();
    }
}

/// Fetches one batch whose number is at least `lowest`.
fn fetch(
    shared: &Shared,
    connect: &Connect,
    link: &mut Option<QuicLink>,
    lowest: u64,
) -> Result<Fetched, Error> {
    let terms = &shared.terms;
    let link = match link {
        Some(link) => link,
        None => match connect() {
            Ok((fresh, epoch)) if epoch == terms.epoch => link.insert(fresh),
            Ok(_) => return Ok(Fetched::Stale("the dealer was restarted".into())),
            Err(e @ (Error::Refused { .. } | Error::Net(sotto_net::Error::Identity { .. }))) => {
                return Ok(Fetched::Stale(e.to_string()));
            }
            Err(e) => return Err(e),
        },
    };
    let peer = link.peer().to_owned();
    let refused = |why: String| Error::Refused { peer, why };
    messages::send(link, step::REQUEST, &Next { from: lowest })?;
    let (id, seed, announced) = match messages::recv(link, step::REPLY)? {
        Dealt::Batch { id, seed, corrections } => (id, seed, corrections),
        Dealt::Refused(why) => return Err(refused(why)),
    };
    if id < lowest || id == u64::MAX {
        return Err(refused(format!("it gave batch {id} where {lowest} or a later one was due")));
    }
    let expected = terms.plan.correction_bytes() as u64;
    if announced != 0 && announced != expected {
        return Err(refused(format!("{announced} bytes of corrections, the plan says {expected}")));
    }
    let corrections = match announced {
        0 => None,
        n => Some(messages::recv_bytes(link, step::CORRECTIONS, n as usize, &|_, _| ())?),
    };
    let batch = Batch { id, seed: Seed::from_bytes(*seed), corrections };
    Ok(Fetched::New(match &shared.store {
        None => Waiting::Memory(batch),
        Some(store) => {
            store.put(&batch)?;
            Waiting::Disk(id)
        }
    }))
}
