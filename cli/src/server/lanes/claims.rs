//! Which client's links use which length of texts: none holds so many that others find no room.

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::{Arc, Mutex},
};

use sotto_models::length::Length;

use super::{LANES, Lane, lock};
use crate::refusal::Refusal;

/// A length of a model's texts.
type Of = (Arc<str>, Length);

/// All links that use one.
#[derive(Default)]
pub(super) struct Holders(Mutex<Vec<(Arc<str>, Of)>>);

/// A client's use of a length.
pub(super) struct Claim(Arc<Holders>, (Arc<str>, Of));

impl Holders {
    /// A client holds half of the lanes at most, those of idle links included: others have lengths, too.
    pub fn claim(self: &Arc<Self>, client: &str, of: Of) -> Result<Claim, Refusal> {
        let mut all = lock(&self.0);
        let others = all.iter().filter(|(holder, held)| &**holder == client && *held != of);
        let others = others.map(|(_, held)| held).collect::<BTreeSet<_>>().len();
        if others >= LANES / 2 {
            return Err(Refusal::Lengths(others));
        }
        let claim: (Arc<str>, _) = (client.into(), of);
        all.push(claim.clone());
        Ok(Claim(Arc::clone(self), claim))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = lock(&self.0.0);
        if let Some(at) = all.iter().position(|one| *one == self.1) {
            all.swap_remove(at);
        }
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
