//! What a pool holds, and for whom.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use sotto_crypto::Seed;
use sotto_protocols::batch::Staged;

use super::{FRESH, Terms};
use crate::{
    dealer_link::Names,
    messages::{Assigned, Tag},
    refusal::Refusal,
};

/// A connection to a client, as the pool knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Different for each connection.
    pub link: u64,
    /// The client.
    pub name: Arc<str>,
}

/// A batch on its way.
pub(super) enum Stage {
    /// Its corrections are coming.
    Coming,
    /// In memory as it came.
    Memory(Seed, Option<Vec<u8>>),
    /// On disk, without its seed.
    Disk,
    /// Being staged.
    Staging,
    /// Ready for the first online byte.
    Staged(Ready),
}

/// A staged batch.
pub struct Ready {
    /// For one evaluation.
    pub staged: Staged,
    /// The deal's tag.
    pub tag: Tag,
    /// Seed and corrections as received.
    pub bytes: u64,
}

pub(super) struct Entry {
    pub names: Names,
    pub holder: Option<Holder>,
    /// When it was assigned, or staged after that.
    pub since: Instant,
    pub stage: Stage,
}

impl Entry {
    pub fn new(names: Names, stage: Stage) -> Self {
        Self { names, holder: None, since: Instant::now(), stage }
    }

    pub fn is_free(&self) -> bool {
        self.holder.is_none()
    }
}

#[derive(Default)]
pub(super) struct State {
    pub entries: BTreeMap<u64, Entry>,
    /// The highest number that the dealer gave.
    pub last: Option<u64>,
    /// Of each batch that is being evaluated with: whose it is.
    pub in_use: Vec<Arc<str>>,
    /// Batches that were burnt because their holders left them, and that nobody was charged for yet.
    pub left: BTreeMap<Arc<str>, usize>,
    /// Connections that wait for a batch.
    pub waiters: usize,
    /// Bytes of the batch that is coming: so far, of how many.
    pub coming: (u64, u64),
    /// Whatever shows that the dealer is alive: pieces and batches.
    pub moves: u64,
    pub closed: bool,
    /// The dealer has other masks: nothing more will come from it.
    pub stale: bool,
    pub failure: Option<Refusal>,
}

impl State {
    pub fn free(&self) -> usize {
        self.entries.values().filter(|e| e.is_free()).count()
    }

    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.entries.values().filter_map(|e| e.holder.as_ref())
    }

    pub fn held(&self, by: &Holder) -> usize {
        self.holders().filter(|h| *h == by).count()
    }

    pub fn in_memory(&self) -> usize {
        let here = self.entries.values().filter(|e| !matches!(e.stage, Stage::Disk)).count();
        here + self.in_use.len()
    }

    pub fn assigned(&self) -> usize {
        self.entries.len() - self.free() + self.in_use.len()
    }

    /// Whether one more batch for this client, beside what it holds and what it is evaluating with, leaves places for the
    /// others: the last one is for somebody who has none.
    pub fn allows(&self, to: &Holder, terms: &Terms) -> bool {
        let names = self.holders().map(|holder| &holder.name).chain(&self.in_use);
        let of_name = names.filter(|name| **name == to.name).count();
        let (places, share) = (terms.room.places(), terms.room.share());
        let kept = usize::from(of_name > 0 && share < places);
        self.assigned() + kept < places && of_name < share
    }

    /// Burns what was ready long ago, and notes who left it.
    pub fn expire(&mut self) {
        let Self { entries, left, .. } = self;
        entries.retain(|_, e| {
            let ready = matches!(e.stage, Stage::Staged(_));
            match e.holder.as_ref().filter(|_| ready && e.since.elapsed() > FRESH) {
                Some(holder) => {
                    *left.entry(Arc::clone(&holder.name)).or_default() += 1;
                    false
                }
                None => true,
            }
        });
    }

    /// Assigns a free batch, a staged one where there is one. One on disk is not assigned before its seed is asked for: after
    /// a restart it would be there for somebody else.
    pub fn assign(&mut self, to: &Holder) -> Option<Assigned> {
        let here = |e: &&mut Entry| e.is_free() && !matches!(e.stage, Stage::Disk);
        let mut free = self.entries.values_mut().filter(here);
        let first = free.next()?;
        let staged = |e: &&mut Entry| matches!(e.stage, Stage::Staged(_));
        let entry = if staged(&first) { first } else { free.find(staged).unwrap_or(first) };
        entry.holder = Some(to.clone());
        entry.since = Instant::now();
        let Names { id, ticket, .. } = &entry.names;
        Some(Assigned { id: *id, ticket: ticket.clone() })
    }
}
