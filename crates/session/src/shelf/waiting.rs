//! What waits in a folder, and what is burnt there without being used: a burnt batch has no key on this disk, so that none of it opens.

use std::{collections::BTreeMap, time::Duration};

use super::{Of, Record, Shelf};
use crate::{
    error::Error,
    messages::{FolderId, Tag, Waits},
};

/// A batch that was not used for so long is burnt: what nobody comes for any more is not kept for ever.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

impl Shelf {
    /// Burns all batches but those that are to be kept; gives how many.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn retain(&self, keep: impl Fn(&Record) -> bool) -> Result<usize, Error> {
        let gone: Vec<Record> = self.lock().values().filter(|r| !keep(r)).cloned().collect();
        for record in &gone {
            self.burn(&record.of.peer, &record.tag)?;
        }
        Ok(gone.len())
    }

    /// Burns what has waited for longer than so, whoever it is of; gives how many batches of whom.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn expire(&self, longest: Duration) -> Result<BTreeMap<String, usize>, Error> {
        let all = self.lock();
        let old: Vec<Record> = all.values().filter(|r| r.is_old(longest)).cloned().collect();
        drop(all);
        let mut gone = BTreeMap::new();
        for record in old {
            if self.burn(&record.of.peer, &record.tag)? {
                *gone.entry(record.of.peer).or_default() += 1;
            }
        }
        Ok(gone)
    }

    /// The name of the folder: what is copied with its keys has the same.
    pub fn id(&self) -> FolderId {
        self.id
    }

    /// What waits here for a peer, of all plans, as it is told.
    pub fn waits(&self, peer: &str) -> Waits {
        let waiting = self.lock();
        let theirs = waiting.values().filter(|record| record.of.peer == peer);
        let tags = theirs.map(|record| record.tag).collect();
        Waits { folder: self.id, tags, alone: false }
    }

    /// Batches that wait for a peer, of all plans.
    pub fn count(&self, peer: &str) -> usize {
        self.lock().values().filter(|record| record.of.peer == peer).count()
    }

    /// The one of them that has waited for longest.
    pub fn first(&self, peer: &str) -> Option<Tag> {
        self.oldest(|of| of.peer == peer)
    }

    /// Those of them that are for other folders of a client's than this one, the one that has waited for longest first.
    pub fn elsewhere(&self, client: &str, folder: Option<FolderId>) -> Vec<Tag> {
        let waiting = self.lock();
        let is = |record: &&Record| record.of.peer == client && Some(record.folder) != folder;
        let mut all: Vec<&Record> = waiting.values().filter(is).collect();
        all.sort_unstable_by_key(|record| (record.stored, record.tag));
        all.into_iter().map(|record| record.tag).collect()
    }

    /// Whether this one waits for a peer, of whatever plan.
    pub fn has(&self, peer: &str, tag: &Tag) -> bool {
        self.lock().get(tag).is_some_and(|record| record.of.peer == peer)
    }

    /// Batches that wait of this peer, model and plan.
    pub fn count_of(&self, of: &Of) -> usize {
        self.lock().values().filter(|record| record.of == *of).count()
    }

    /// The one of them that has waited for longest.
    pub fn first_of(&self, of: &Of) -> Option<Tag> {
        self.oldest(|other| other == of)
    }

    /// Whether this one is among them: what is of another plan is not to be opened by this one.
    pub fn is_of(&self, of: &Of, tag: &Tag) -> bool {
        self.lock().get(tag).is_some_and(|record| record.of == *of)
    }

    fn oldest(&self, is: impl Fn(&Of) -> bool) -> Option<Tag> {
        let waiting = self.lock();
        let all = waiting.values().filter(|record| is(&record.of));
        all.min_by_key(|record| (record.stored, record.tag)).map(|record| record.tag)
    }

    /// All that wait.
    pub fn all(&self) -> usize {
        self.lock().len()
    }
}
