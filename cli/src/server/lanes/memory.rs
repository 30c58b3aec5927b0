//! One memory for all models, and models that come and go.
//!
//! Each model has a part of the memory; those of texts have theirs together. A model that is replaced leaves when its last link ends:
//! until then its lanes keep what their links hold and the fewest places beside, and the others have so much less.

use std::sync::{Arc, Weak, atomic::Ordering};

use sotto_protocols::plan::Plan;
use sotto_session::shelf::{Record, Shelf, described};

use super::{Common, Lane, Lanes, State, lock};
use crate::{
    config::{Memory, Source},
    error::Error,
    server::models::Loaded,
};

/// Most lanes of models that were replaced and are still in use: their weights are in memory, too.
const LEAVING: usize = 16;

/// What is served from now on, with the lanes of pictures that are new.
pub struct Change {
    models: Vec<Arc<Loaded>>,
    lanes: Vec<Arc<Lane>>,
    gone: Vec<Arc<Lane>>,
    shelves: Vec<(Arc<Loaded>, Arc<Shelf>)>,
}

impl State {
    /// Memory that what was replaced still has. It has less as its links need less.
    fn of_leaving(&mut self, common: &Common) -> u64 {
        self.leaving.retain(|lane| lane.strong_count() > 0);
        let lanes: Vec<_> = self.leaving.iter().filter_map(Weak::upgrade).collect();
        lanes.iter().for_each(|lane| lane.give_way(common));
        lanes.iter().map(|lane| lane.room.bytes()).sum()
    }

    /// A model's part of the memory where there are so many.
    fn part(&mut self, common: &Common, models: usize) -> u64 {
        common.config.memory().saturating_sub(self.of_leaving(common)) / models.max(1) as u64
    }

    /// The memory of texts: as it is where nothing was replaced, and as it is now.
    pub(super) fn for_texts(&mut self, common: &Common) -> (u64, u64) {
        let (all, texts) =
            (self.models.len(), self.models.iter().filter(|model| model.is_of_texts()).count());
        let of = |part: u64| part.saturating_mul(texts as u64);
        let whole = common.config.memory() / all.max(1) as u64;
        (of(whole), of(self.part(common, all)))
    }

    /// How many lanes of texts are open, and their memory.
    pub(super) fn texts(&self) -> (usize, u64) {
        let texts = self.open.iter().filter(|lane| lane.length.is_some());
        (texts.clone().count(), texts.map(|lane| lane.room.bytes()).sum())
    }

    /// Lanes of pictures have their part; one that is to grow has it when others have given it up.
    pub(super) fn fit(&mut self, common: &Common) {
        let models = self.models.len();
        self.fit_to(common, models);
    }

    /// The same where there will be so many models; gives what is left.
    fn fit_to(&mut self, common: &Common, models: usize) -> u64 {
        let part = self.part(common, models);
        let all = common.config.memory().saturating_sub(self.of_leaving(common));
        let pictures: Vec<_> = self.open.iter().filter(|lane| lane.length.is_none()).collect();
        let target = |lane: &Lane| lane.room.places_in(part);
        for lane in pictures.iter().filter(|lane| target(lane) < lane.room.places()) {
            lane.shrink(common, target(lane));
        }
        let taken = |open: &[Arc<Lane>]| open.iter().map(|lane| lane.room.bytes()).sum::<u64>();
        for lane in pictures.iter().filter(|lane| target(lane) > lane.room.places()) {
            let free = lane.room.places_in(all.saturating_sub(taken(&self.open)));
            let places = target(lane).min(lane.room.places().saturating_add(free));
            lane.resize(common, places);
        }
        all.saturating_sub(taken(&self.open))
    }

    /// The lanes of models that are not among these give way, for now; gives them.
    fn dismiss(&mut self, common: &Common, models: &[Arc<Loaded>]) -> Vec<Arc<Lane>> {
        let stays = |lane: &Arc<Lane>| models.iter().any(|model| Arc::ptr_eq(model, &lane.model));
        let (open, gone) = std::mem::take(&mut self.open).into_iter().partition(stays);
        self.open = open;
        let gone: Vec<Arc<Lane>> = gone;
        self.leaving.extend(gone.iter().map(Arc::downgrade));
        gone.iter().for_each(|lane| lane.give_way(common));
        gone
    }

    /// Lanes that were dismissed are there as before.
    fn restore(&mut self, common: &Common, gone: Vec<Arc<Lane>>) {
        let is = |one: &Weak<Lane>| gone.iter().any(|lane| one.as_ptr() == Arc::as_ptr(lane));
        self.leaving.retain(|one| !is(one));
        self.open.extend(gone);
        self.fit(common);
    }
}

impl Lanes {
    /// Gets ready to serve these models and no others: lanes of pictures that are new have their memory, those that go give up what
    /// nobody holds of it. Nothing on any disk is touched. [`Lanes::commit`] or [`Lanes::restore`] follows.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no memory, [`Error::Model`] where there is no plan. Then all stays as it is.
    pub fn prepare(&self, models: Vec<Arc<Loaded>>) -> Result<Change, Error> {
        let common = &self.common;
        let _one = lock(&self.opening);
        let dealt = common.config.source == Source::Dealer;
        let texts = |model: &Arc<Loaded>| model.is_of_texts() && model.offer.pool_folder.is_some();
        if dealt && models.iter().all(texts) {
            let why = "`pool_folder` with a dealer is for models of pictures; texts have batches for each length, in memory: leave it out";
            return Err(Error::Config(why.into()));
        }
        let mut shelves = Vec::new();
        for model in &models {
            let shelf = common.shelf(model).map_err(Error::of(&model.offer))?;
            shelves.extend(shelf.map(|shelf| (Arc::clone(model), shelf)));
        }
        let open = lock(&self.state).open.clone();
        let mut plans = Vec::new();
        for model in models.iter().filter(|model| !model.is_of_texts()) {
            let known = open.iter().find(|lane| Arc::ptr_eq(&lane.model, model));
            let plan = match known {
                Some(lane) => Arc::clone(&lane.plan),
                None => model.card.trace(None).map_err(Error::of(&model.offer))?.plan,
            };
            let places = common.config.places(&plan, models.len(), model.offer.pool);
            places.map_err(Error::of(&model.offer))?;
            if known.is_none() {
                plans.push((model, plan));
            }
        }
        // Held on to, they would not give way.
        drop(open);
        let gone = lock(&self.state).dismiss(common, &models);
        match self.open_all(plans, models.len()) {
            Ok(lanes) => Ok(Change { models, lanes, gone, shelves }),
            Err(e) => {
                lock(&self.state).restore(common, gone);
                Err(e)
            }
        }
    }

    /// Opens lanes of pictures, where there will be so many models.
    fn open_all(
        &self,
        plans: Vec<(&Arc<Loaded>, Arc<Plan>)>,
        count: usize,
    ) -> Result<Vec<Arc<Lane>>, Error> {
        let (common, source) = (&self.common, self.common.config.source);
        let mut lanes: Vec<Arc<Lane>> = Vec::new();
        for (model, plan) in plans {
            let mut state = lock(&self.state);
            if state.leaving.len() > LEAVING {
                return Err(Error::Config(format!(
                    "clients still use {LEAVING} plans of models that were replaced before; try again when they have finished"
                )));
            }
            let others: u64 = lanes.iter().map(|lane| lane.room.bytes()).sum();
            let free = state.fit_to(common, count).saturating_sub(others);
            let memory = state.part(common, count).min(free);
            drop(state);
            let needs = Memory::of(&plan, source)?;
            let places = usize::try_from(memory / needs.batch).unwrap_or(usize::MAX);
            if places < needs.least() {
                return Err(Error::Config(format!(
                    "no memory for `{}` beside what clients hold of other models; try again when they have finished, or \
                     raise `memory` and restart",
                    model.name()
                )));
            }
            let pool = model.offer.pool;
            let lane = Lane::open(common, model, (None, plan, needs), [places, pool]);
            lanes.push(Arc::new(lane.map_err(Error::of(&model.offer))?));
        }
        Ok(lanes)
    }

    /// Serves what was got ready, which begins to fill. Streams of models that are gone finish on them.
    pub fn commit(&self, Change { models, lanes, mut gone, shelves }: Change) {
        let mut state = lock(&self.state);
        let named =
            |(model, shelf): &(Arc<Loaded>, _)| (model.name().to_owned(), Arc::clone(shelf));
        state.shelves = shelves.iter().map(named).collect();
        // Those of texts that were opened meanwhile, too.
        gone.extend(state.dismiss(&self.common, &models));
        gone.iter().for_each(|lane| lane.leave(&self.common));
        let before = std::mem::replace(&mut state.models, models);
        let stays = |old: &Arc<Loaded>| state.models.iter().any(|model| Arc::ptr_eq(model, old));
        for old in before.iter().filter(|old| !stays(old)) {
            old.over.store(true, Ordering::Relaxed);
        }
        state.open.extend(lanes.iter().cloned());
        state.fit(&self.common);
        // Those that stay as large, too: there may be other clients.
        for lane in &state.open {
            lane.resize(&self.common, lane.room.places());
        }
        drop(state);
        // The last use of one ends its pool, for which nobody waits.
        drop(gone);
        // What is stored from now on of those that are over is burnt by whoever stores it.
        for (model, shelf) in &shelves {
            // Of pictures, which have one.
            let new = lanes.iter().find(|lane| Arc::ptr_eq(&lane.model, model));
            self.keep(model, shelf, new.map(|lane| lane.hash));
        }
        lanes.iter().for_each(|lane| lane.begin());
    }

    /// Burns what waits on the disk and is of another model than this one, which has taken its place, or of a client that is served no
    /// more, or of another plan where there is one.
    fn keep(&self, model: &Loaded, shelf: &Shelf, plan: Option<[u8; 32]>) {
        let (usage, name) = (&self.common.usage, described(&model.commitment, &model.card));
        let kept = |Record { of, .. }: &Record| {
            let served = usage.may(&of.peer).is_ok_and(|may| may(model.name()));
            served && of.model == name && plan.is_none_or(|plan| of.plan == plan)
        };
        match shelf.retain(kept) {
            Ok(0) => {}
            Ok(gone) => tracing::info!("{}: {gone} batches that waited are burnt", model.name()),
            // They are of no use, and are tried again at the next start.
            Err(e) => tracing::warn!("{}: {e}", model.name()),
        }
    }

    /// Serves what was served before.
    pub fn restore(&self, Change { gone, lanes, .. }: Change) {
        drop(lanes);
        lock(&self.state).restore(&self.common, gone);
    }
}
