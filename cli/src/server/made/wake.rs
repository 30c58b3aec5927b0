//! Batches that wait on disks, from when they are found until they are opened: found is not yet used, and costs its client little.

use std::time::Instant;

use super::{Made, Stage, State};
use crate::{messages::Tag, refusal::Refusal};

impl State {
    /// Takes away the place of a batch that was found and not opened, over whatever link of its client's; gives since when it had one.
    fn unwake(&mut self, client: &str, tag: &Tag) -> Option<Instant> {
        let is = |stage: &Stage| matches!(stage, Stage::Waking(found) if found == tag);
        let mut all = self.entries.iter().filter(|(_, e)| &*e.client == client);
        let id = all.find(|(_, e)| is(&e.stage)).map(|(id, _)| *id)?;
        self.entries.remove(&id).map(|entry| entry.since)
    }

    /// Whether there is memory for one more of a client's from the disk. Where there `are_others`, one that holds any beside what is in
    /// the making leaves them the room to make one, and a place.
    fn has_room(&self, client: &str, (places, making): (usize, usize), are_others: bool) -> bool {
        let holds = self.of(client) > self.makes(Some(client));
        let kept = if holds && are_others { making + 1 } else { 0 };
        let weight = self.weight(making);
        let made = weight - making * self.makes(None);
        weight < places && made + 1 + kept <= places
    }
}

impl Made {
    /// A number, and memory, for the batch of this tag that is to come from the disk and to be used over this link. One that was found
    /// before and not opened keeps its place and its age; its number before is void.
    ///
    /// # Errors
    /// [`Refusal::Busy`] where there is no memory for it.
    pub fn wake(&self, client: &str, link: u64, tag: &Tag) -> Result<u64, Refusal> {
        let mut state = self.lock();
        if let Some(since) = state.unwake(client, tag) {
            let id = state.add(client, link, Stage::Waking(*tag));
            if let Some(entry) = state.entries.get_mut(&id) {
                entry.since = since;
            }
            return Ok(id);
        }
        let (places, share) = (self.room.places(), self.room.share());
        while state.of(client) >= share {
            if !state.evict(client, true) {
                return Err(self.busy());
            }
        }
        while !state.has_room(client, (places, self.room.making()), share < places) {
            if !state.evict(client, false) {
                return Err(self.busy());
            }
        }
        Ok(state.add(client, link, Stage::Waking(*tag)))
    }

    /// Whether a number stands for a batch of this client's that was found: it is opened now, or burnt.
    pub fn opens(&self, client: &str, id: u64) -> bool {
        let mut state = self.lock();
        let entry = state.entries.get_mut(&id).filter(|e| &*e.client == client);
        let Some(entry) = entry.filter(|e| matches!(e.stage, Stage::Waking(_))) else {
            return false;
        };
        (entry.stage, entry.since) = (Stage::Opening, Instant::now());
        true
    }
}
