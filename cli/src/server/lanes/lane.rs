//! A plan that a server has open.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sotto_models::length::Length;
use sotto_protocols::plan::Plan;

use super::Common;
use crate::{
    config::Memory,
    dealer_link::Dealer,
    error::Error,
    server::{
        made::Made,
        make::Workplace,
        models::Loaded,
        room::Room,
        session::{Basis, Sessions},
    },
};

/// Where correlations come from.
pub enum Supply {
    /// A dealer.
    Dealer(Arc<Sessions>),
    /// Server and client.
    Peer(Workplace),
}

/// A plan, and where its batches come from.
pub struct Lane {
    /// The model.
    pub model: Arc<Loaded>,
    /// The texts' length; `None` for pictures.
    pub length: Option<Length>,
    /// The plan.
    pub plan: Arc<Plan>,
    /// Its hash.
    pub hash: [u8; 32],
    /// Bits that an evaluation reveals.
    pub bits: u64,
    /// Its batches.
    pub supply: Supply,
    pub(super) room: Arc<Room>,
    /// Cloned by each link that uses it.
    pub(super) links: Arc<()>,
    /// Its model was replaced: whoever uses it may finish, nobody else comes.
    over: AtomicBool,
}

impl Lane {
    /// A lane with memory for so many batches, of which so many are kept ready once it begins.
    pub(super) fn open(
        common: &Common,
        model: &Arc<Loaded>,
        (length, plan, memory): (Option<Length>, Arc<Plan>, Memory),
        [places, pool]: [usize; 2],
    ) -> Result<Self, Error> {
        let (hash, bits) = (plan.hash(), plan.revealed_bits());
        let room = Arc::new(Room::new([places, common.share(places), pool], memory));
        let supply = match &common.dealer {
            Some(dealer) => Supply::Dealer(Sessions::new(Basis {
                dealer: Dealer { plan: hash, ..dealer.clone() },
                model: model.name().to_owned(),
                card: model.card.clone(),
                length,
                commitment: model.commitment,
                plan: Arc::clone(&plan),
                weights: Arc::clone(&model.weights),
                room: Arc::clone(&room),
                folder: common.folder(model)?,
                server: common.config.own.name.clone(),
                audit: common.config.audit()?,
                trust: Arc::clone(&common.trust),
            })),
            None => Supply::Peer(Workplace::new(
                &plan,
                common.config.source.extension().expect("the source is no dealer"),
                Arc::clone(model),
                (
                    Made::new(Arc::clone(&room), Arc::clone(&common.links)),
                    common.shelf(model)?.map(|shelf| (shelf, Arc::clone(&room))),
                ),
                Arc::clone(&common.usage),
            )?),
        };
        let (model, links, over) = (Arc::clone(model), Arc::default(), AtomicBool::new(false));
        Ok(Self { model, length, plan, hash, bits, supply, room, links, over })
    }

    /// It fills, where a dealer supplies it: from now on its pool folder has its batches alone.
    pub(super) fn begin(&self) {
        if let Supply::Dealer(sessions) = &self.supply {
            sessions.begin();
        }
    }

    /// Whether its model was replaced.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Places that are taken now.
    fn taken(&self) -> usize {
        match &self.supply {
            Supply::Dealer(sessions) => sessions.in_memory(),
            Supply::Peer(workplace) => workplace.made.taken(),
        }
    }

    /// Gives up what nobody holds, down to so many places; more stay where more are taken.
    pub(super) fn shrink(&self, common: &Common, places: usize) {
        self.resize(common, places);
        self.resize(common, places.max(self.taken()));
    }

    /// It has so many places from now on, each client its share of them: as many clients as are served now. Where there is less room
    /// what nobody holds goes, where there is more it fills.
    pub(super) fn resize(&self, common: &Common, places: usize) {
        self.room.resize([places, common.share(places)]);
        if let Supply::Dealer(sessions) = &self.supply {
            sessions.trim();
        }
    }

    /// Its model was replaced: nothing is kept ready any more, in memory or on the disk.
    pub(super) fn leave(&self, common: &Common) {
        self.over.store(true, Ordering::Relaxed);
        self.room.keep(0);
        self.give_way(common);
    }

    /// Its model goes, or has gone: it has the memory that its links need, and less as they need less. What waits on the disk stays.
    pub(super) fn give_way(&self, common: &Common) {
        let used = Arc::strong_count(&self.links) > 1;
        let places = if used { self.room.least().min(self.room.places()) } else { 0 };
        self.shrink(common, places);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Supply::Dealer(sessions) = &self.supply {
            sessions.close();
        }
    }
}
