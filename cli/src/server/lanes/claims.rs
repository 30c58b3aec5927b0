//! Which client's links use which length of texts: none holds so many that others find no room.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::{Arc, Mutex, Weak},
    thread,
    time::{Duration, Instant},
};

use sotto_models::length::Length;

use super::{LANES, Lane, lock};
use crate::{refusal::Refusal, server::standing::Standing};

/// A length of a model's texts.
type Of = (Arc<str>, Length);

/// All links that use one.
#[derive(Default)]
pub(super) struct Holders(Mutex<Vec<Arc<Use>>>);

/// A link's use of a length.
struct Use {
    client: Arc<str>,
    of: Of,
    standing: Arc<Standing>,
}

/// The same, until it is dropped.
pub(super) struct Claim(Arc<Holders>, Arc<Use>);

/// A link that is ended has ended after so long.
const ENDED: Duration = Duration::from_secs(2);

impl Holders {
    /// A client holds half of the lanes at most, those of idle links included: others have lengths, too.
    pub fn claim(
        self: &Arc<Self>,
        (client, standing): (&str, &Arc<Standing>),
        of: Of,
    ) -> Result<Claim, Refusal> {
        let mut all = lock(&self.0);
        let others = held(&all, client, |held| *held != of);
        if others >= LANES / 2 {
            return Err(Refusal::Lengths(others));
        }
        let claim = Arc::new(Use { client: client.into(), of, standing: Arc::clone(standing) });
        all.push(Arc::clone(&claim));
        Ok(Claim(Arc::clone(self), claim))
    }

    /// Ends the links of a length on all of which nothing has been evaluated for a while: the length of whoever holds most of
    /// them, of these the one that was idle for longest. Gives whether there is one, once nobody holds it any more.
    pub fn give_way(&self) -> bool {
        let all = lock(&self.0);
        let mut idle: BTreeMap<_, (usize, Option<Duration>)> = BTreeMap::new();
        for one in all.iter() {
            let (holds, least) = (held(&all, &one.client, |_| true), one.standing.idle());
            let (fewest, idle) = idle.entry(&one.of).or_insert((holds, least));
            (*fewest, *idle) = (holds.min(*fewest), least.min(*idle));
        }
        let longest = idle.into_iter().filter(|(_, (_, idle))| idle.is_some());
        let Some(of) = longest.max_by_key(|(_, idle)| *idle).map(|(of, _)| of.clone()) else {
            return false;
        };
        let ended: Vec<_> = all.iter().filter(|one| one.of == of).map(Arc::downgrade).collect();
        for one in ended.iter().filter_map(Weak::upgrade) {
            tracing::info!("an idle link of {} gives way", one.client);
            one.standing.end();
        }
        drop(all);
        let start = Instant::now();
        while ended.iter().any(|one| one.strong_count() > 0) && start.elapsed() < ENDED {
            thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

/// How many lengths of a kind a client holds.
fn held(all: &[Arc<Use>], client: &str, is: impl Fn(&Of) -> bool) -> usize {
    let theirs = all.iter().filter(|one| &*one.client == client && is(&one.of));
    theirs.map(|one| &one.of).collect::<BTreeSet<_>>().len()
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.0.0).retain(|one| !Arc::ptr_eq(one, &self.1));
    }
}

/// A lane, for as long as a client's link uses it.
pub struct Held {
    lane: Arc<Lane>,
    _link: Arc<()>,
    _claim: Option<Claim>,
}

impl Held {
    pub(super) fn new(lane: Arc<Lane>, claim: Option<Claim>) -> Self {
        let link = Arc::clone(&lane.links);
        Self { lane, _link: link, _claim: claim }
    }
}

impl Deref for Held {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        &self.lane
    }
}
