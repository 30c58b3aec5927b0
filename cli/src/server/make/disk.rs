//! Batches that wait on the disks of server and client: stored, found again, opened.

use sotto_models::calibration::hex;
use sotto_net::{Link, QuicLink};
use sotto_protocols::{Role, batch::Batch, plan::Traffic};
use sotto_session::{
    keeping::{Lost, keep},
    shelf::{Of, Record},
};

use super::{DEAR, Ready, Workplace};
use crate::{
    error::Error,
    messages::{Keep, Secret, Tag, Waits},
    refusal::Refusal,
};

impl Workplace {
    /// What is made with a client is of this.
    fn of(&self, client: &str) -> Of {
        Of { peer: client.into(), plan: self.plan.hash(), model: self.commitment }
    }

    /// Burns what a client no longer has in a folder of its, and charges it; gives what waits at both.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn meets(&self, client: &str, waits: Option<Waits>) -> Result<Vec<Tag>, Error> {
        let (Some((shelf, _)), Some(Waits { folder, mut tags })) = (&self.shelf, waits) else {
            return Ok(Vec::new());
        };
        tags.sort_unstable();
        let gone = shelf.retain(|record| {
            let theirs = record.of.peer == client && record.folder == folder;
            !theirs || tags.binary_search(&record.tag).is_ok()
        })?;
        if gone > 0 {
            tracing::info!("{client} no longer has {gone} of the batches that wait here");
            self.usage.unused(client, gone * DEAR);
        }
        tags.retain(|tag| shelf.has(client, tag));
        tags.dedup();
        Ok(tags)
    }

    /// A number, and a place, for a client's batch that waits on the disk, to be used over a link of its own.
    ///
    /// # Errors
    /// [`Refusal::NotKept`] where there is none; [`Refusal::Busy`] for now.
    pub fn wake(&self, client: &str, link: u64, tag: &Tag) -> Result<u64, Refusal> {
        self.settle();
        let (shelf, _) = self.shelf.as_ref().ok_or(Refusal::NotKept)?;
        if shelf.has(client, tag) { self.made.wake(client, link) } else { Err(Refusal::NotKept) }
    }

    /// Opens the batch that got this number, with the key that the client gives; gives the key of the client's part.
    ///
    /// # Errors
    /// [`Refusal::NotKept`] where it is gone, or cannot be opened.
    pub fn open_waiting(
        &self,
        client: &str,
        (id, tag): (u64, Tag),
        key: &Secret,
    ) -> Result<Secret, Refusal> {
        let (shelf, _) = self.shelf.as_ref().ok_or(Refusal::NotKept)?;
        let tag = &tag;
        let open = || -> Result<Option<(Ready, Secret)>, Error> {
            let Some(taken) = shelf.take(client, tag)? else { return Ok(None) };
            let (bytes, theirs) = (taken.record.bytes(), taken.key.clone());
            let batch = taken.open(id, &self.plan, key)?;
            let staged = batch.stage(&self.plan, Role::Server, &self.weights)?;
            Ok(Some((Ready { staged, tag: *tag, bytes }, theirs)))
        };
        match open() {
            Ok(Some((ready, theirs))) => {
                self.made.finish(id, ready);
                tracing::info!("{client}: batch {id} waited on the disk, {}", hex(tag));
                return Ok(theirs);
            }
            Ok(None) => {}
            Err(e) => {
                tracing::warn!("{client}: {e}");
                self.usage.unused(client, DEAR);
            }
        }
        self.made.stored(id);
        Err(Refusal::NotKept)
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
        let Some((shelf, most)) = &self.shelf else { return Ok(()) };
        let client = link.name().to_owned();
        while shelf.count(&client) >= *most {
            let Some(oldest) = shelf.first(&client) else { break };
            shelf.burn(&client, &oldest)?;
            self.usage.unused(&client, DEAR);
        }
        let record = Record::new(self.of(&client), (theirs.folder, tag), traffic);
        match keep(link, shelf, [ours, &theirs.pad], record, batch)? {
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
