//! Batches that wait on the disks of server and client: stored, found again, opened.

use sotto_models::calibration::hex;
use sotto_net::{Link, QuicLink};
use sotto_protocols::{Role, batch::Batch, plan::Traffic};
use sotto_session::{
    keeping::{Lost, keep},
    shelf::{LONGEST, Of, Record, Taken, described},
};

use std::sync::atomic::Ordering;

use super::{DEAR, Ready, Workplace};
use crate::{
    error::Error,
    messages::{FolderId, Keep, Secret, Tag, Waits},
    refusal::Refusal,
};

/// Lengths of texts of which a client's batches wait, at most as many each as a pool has: of more the oldest give way.
const LENGTHS: usize = 8;

impl Workplace {
    /// What is made with a client is of this.
    fn of(&self, client: &str) -> Of {
        let model = described(&self.model.commitment, &self.model.card);
        Of { peer: client.into(), plan: self.plan.hash(), model }
    }

    /// Whether another model has taken the place of this one.
    fn is_over(&self) -> bool {
        self.model.over.load(Ordering::Relaxed)
    }

    /// Batches of all plans that wait for a client, at most.
    fn most(&self, pool: usize) -> usize {
        if self.model.is_of_texts() { LENGTHS.saturating_mul(pool) } else { pool }
    }

    /// Burns what a client no longer has in a folder of its, or in any where this is its only one, what is of another model than this, and
    /// what has waited for too long, of whomever; charges for what the client left. Gives what waits at both.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn meets(&self, client: &str, waits: Option<Waits>) -> Result<Vec<Tag>, Error> {
        let Some((shelf, _)) = &self.shelf else { return Ok(Vec::new()) };
        for (name, old) in shelf.expire(LONGEST)? {
            tracing::info!("{old} batches of {name} have waited for too long, and are burnt");
            self.usage.unused(&name, old * DEAR);
        }
        let model = self.of(client).model;
        // A folder may not have given up all when its model was replaced.
        let others = shelf
            .retain(|Record { of, .. }| of.peer != client || of.model == model || self.is_over())?;
        if others > 0 {
            tracing::info!("{others} batches of {client} are of another model, and are burnt");
        }
        let Some(Waits { folder, mut tags, alone }) = waits else { return Ok(Vec::new()) };
        tags.sort_unstable();
        let gone = shelf.retain(|record| {
            let theirs = record.of.peer == client && (alone || record.folder == folder);
            let has = record.folder == folder && tags.binary_search(&record.tag).is_ok();
            !theirs || has
        })?;
        if gone > 0 {
            tracing::info!("{client} no longer has {gone} of the batches that wait here");
            self.usage.unused(client, gone * DEAR);
        }
        tags.retain(|tag| shelf.has(client, tag));
        tags.dedup();
        Ok(tags)
    }

    /// Whether a client may have one more batch made, beside those that it has. Where those that wait for other folders than the one it
    /// asks for are all that its quota lacks, the oldest of them give way, and are charged: what a lost folder had locks nobody out.
    ///
    /// # Errors
    /// Those of [`Usage::allows`](super::Usage::allows).
    pub(super) fn allows(&self, client: &str, folder: Option<FolderId>) -> Result<(), Refusal> {
        let may =
            |kept| self.usage.allows(client, self.model.tariff(), self.made.of(client) + kept);
        let Some((shelf, _)) = &self.shelf else { return may(0) };
        loop {
            let kept = shelf.count(client);
            let refused = match may(kept) {
                Err(why @ Refusal::Quota { .. }) => why,
                other => return other,
            };
            // None is burnt in vain.
            let elsewhere = shelf.elsewhere(client, folder);
            may(kept.saturating_sub(elsewhere.len()))?;
            let Some(oldest) = elsewhere.first() else { return Err(refused) };
            if let Err(e) = shelf.burn(client, oldest) {
                tracing::warn!("{client}: {e}");
                return Err(refused);
            }
            tracing::info!("{client} has no quota for a batch of another folder, which is burnt");
            self.usage.unused(client, DEAR);
        }
    }

    /// A number, and a place, for a client's batch that waits on the disk, to be used over a link of its own.
    ///
    /// # Errors
    /// [`Refusal::NotKept`] where there is none; [`Refusal::Busy`] for now; those of [`Usage::allows`](super::Usage::allows): who may not
    /// use it does not hold a place, either.
    pub fn wake(&self, client: &str, link: u64, tag: &Tag) -> Result<u64, Refusal> {
        self.settle();
        let (shelf, _) = self.shelf.as_ref().ok_or(Refusal::NotKept)?;
        if !shelf.is_of(&self.of(client), tag) {
            return Err(Refusal::NotKept);
        }
        self.usage.allows(client, self.model.tariff(), 0)?;
        self.made.wake(client, link, tag)
    }

    /// Takes the batch that got this number for its use: the key of the client's part is off the disk, and may be given. `None` where
    /// it is gone.
    pub fn take(&self, client: &str, (id, tag): (u64, &Tag)) -> Option<Taken<'_>> {
        let (shelf, _) = self.shelf.as_ref()?;
        // It may have given way meanwhile.
        if !self.made.opens(client, id) {
            return None;
        }
        let taken = shelf.take(&self.of(client), tag).unwrap_or_else(|e| {
            tracing::warn!("{client}: {e}");
            None
        });
        if taken.is_none() {
            self.made.stored(id);
        }
        taken
    }

    /// Opens it with the key that the client gives; the client opens its part meanwhile. Where it cannot be opened it is burnt, and
    /// charged: the key may be none.
    pub fn open_taken(&self, client: &str, id: u64, taken: Taken<'_>, key: &Secret) {
        let (tag, bytes) = (taken.record.tag, taken.record.bytes());
        let staged = taken
            .open(id, &self.plan, key)
            .and_then(|batch| Ok(batch.stage(&self.plan, Role::Server, &self.model.weights)?));
        match staged {
            Ok(staged) => {
                self.made.finish(id, Ready { staged, tag, bytes });
                let of = &self.of;
                tracing::info!("{client}: batch {id}, {of}, waited on the disk, {}", hex(&tag));
            }
            Err(e) => {
                tracing::warn!("{client}: {e}");
                self.made.stored(id);
                self.usage.unused(client, DEAR);
            }
        }
    }

    /// Puts a batch on both disks; it takes no memory then. What it takes the place of is burnt and charged.
    pub(super) fn keep(
        &self,
        link: &mut QuicLink,
        (ours, theirs): &(Secret, Keep),
        (id, tag): (u64, Tag),
        batch: Batch,
        traffic: Traffic,
    ) -> Result<(), Error> {
        let Some((shelf, room)) = &self.shelf else { return Ok(()) };
        let client = link.name().to_owned();
        let of = self.of(&client);
        loop {
            let oldest = if shelf.count_of(&of) >= room.pool() {
                shelf.first_of(&of)
            } else if shelf.count(&client) >= self.most(room.pool()) {
                shelf.first(&client)
            } else {
                break;
            };
            let Some(oldest) = oldest else { break };
            shelf.burn(&client, &oldest)?;
            self.usage.unused(&client, DEAR);
        }
        let record = Record::new(of, (theirs.folder, tag), traffic);
        let kept = keep(link, shelf, [ours, &theirs.pad], record, batch);
        // However it ended; the client burns its part with the next greeting. Looked at once it is stored: whoever replaces the model
        // says so first, and burns what is stored then.
        if self.is_over() {
            shelf.burn(&client, &tag)?;
        }
        match kept? {
            None => self.made.stored(id),
            Some(Lost::Here(e)) => {
                tracing::warn!("{}: {e}", link.peer());
                self.made.stored(id);
            }
            Some(Lost::There) => self.made.burn(id),
        }
        Ok(())
    }
}
