//! The plans that a server has open: one for each model of pictures; of texts one for each length that clients ask for.
//!
//! A lane has its own batches, whoever supplies them, and one model for as long as it lives. A length is public and checked before
//! anything is traced for it. All lanes share one memory ([`memory`]); those of texts are bounded in number, too, and the one that
//! was idle for longest gives way.

mod claims;
mod lane;
mod memory;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use sotto_models::{
    length::{Length, buckets},
    model::Input,
    private::Lengths,
};
use sotto_session::{
    folder::Folder,
    shelf::{Place, Shelf},
};
use zeroize::Zeroizing;

use super::{
    made::Links,
    models::{Loaded, choose},
    standing::Standing,
    trust::Trust,
    usage::Usage,
};
use crate::{
    config::{Memory, ServerConfig, Source},
    dealer_link::Dealer,
    error::Error,
    messages::ClientHello,
    refusal::Refusal,
};
pub use claims::Held;
use claims::Holders;
pub use lane::{Lane, Supply};

/// Most lengths of texts that are open at once, of all models; the dealer keeps more plans.
const LANES: usize = 8;

/// Most batches that there are places for in a lane of texts, beside the fewest.
const PLACES: u64 = 6;

/// Pool folders that are in use, by their paths.
type InUse<T> = Mutex<HashMap<PathBuf, Weak<T>>>;

/// What all lanes have in common.
pub struct Common {
    /// What clients were charged.
    pub usage: Arc<Usage>,
    /// Where the dealer is, with the hash of no plan yet.
    pub dealer: Option<Dealer>,
    /// The configuration of the start. Models and clients may be others by now: those of a change are in its models' offers and in
    /// `usage`.
    pub config: ServerConfig,
    /// Its folder.
    pub base: PathBuf,
    /// Folders of batches that are in use.
    pub folders: InUse<Folder>,
    /// The same of those that are made with clients.
    pub shelves: InUse<Shelf>,
    /// Links over which batches are made with clients.
    pub links: Arc<Links>,
    /// What seals those that wait on the disk.
    pub secret: Zeroizing<[u8; 32]>,
    /// What the dealer did.
    pub trust: Arc<Trust>,
}

#[derive(Default)]
struct State {
    models: Vec<Arc<Loaded>>,
    /// The one that was asked for last at the end.
    open: Vec<Arc<Lane>>,
    /// Of models that were replaced, as long as a link uses them.
    leaving: Vec<Weak<Lane>>,
    /// Where batches wait that are made with clients, of each model's name: they outlive the lanes of texts.
    shelves: Vec<(String, Arc<Shelf>)>,
}

/// All that are open.
pub struct Lanes {
    common: Common,
    state: Mutex<State>,
    /// Held while one is opened; nobody else waits for that.
    opening: Mutex<()>,
    holders: Arc<Holders>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Common {
    /// Half of the places for one client, but where there is no other.
    fn share(&self, places: usize) -> usize {
        (places / self.usage.clients().clamp(1, 2)).max(1)
    }

    /// A model's pool folder, where it has one: the one that is in use, with the model that it replaces or the other way round, or
    /// opened.
    fn pool_folder<T>(
        &self,
        model: &Loaded,
        in_use: &InUse<T>,
        open: impl FnOnce(&Place) -> Result<T, Error>,
    ) -> Result<Option<Arc<T>>, Error> {
        let Some(place) = &model.offer.pool_folder else { return Ok(None) };
        let place = place.within(&self.base);
        let path = place.folder();
        let mut all = lock(in_use);
        if let Some(folder) = all.get(&path).and_then(Weak::upgrade) {
            return Ok(Some(folder));
        }
        let folder = Arc::new(open(&place)?);
        all.insert(path, Arc::downgrade(&folder));
        Ok(Some(folder))
    }

    /// Where batches of a model of pictures wait that a dealer deals, if not in memory.
    fn folder(&self, model: &Loaded) -> Result<Option<Arc<Folder>>, Error> {
        if model.is_of_texts() {
            return Ok(None);
        }
        let open = |place: &Place| Folder::open(&place.folder(), &self.config.own.name);
        self.pool_folder(model, &self.folders, open)
    }

    /// Where batches of a model wait that are made with clients.
    fn shelf(&self, model: &Loaded) -> Result<Option<Arc<Shelf>>, Error> {
        if self.config.source == Source::Dealer {
            return Ok(None);
        }
        let open = |place: &Place| Shelf::open(place, &self.config.own.name, &self.secret);
        self.pool_folder(model, &self.shelves, open)
    }
}

impl Lanes {
    /// None yet.
    pub fn new(common: Common) -> Self {
        let (state, opening, holders) = Default::default();
        Self { common, state, opening, holders }
    }

    /// The models that are served.
    pub fn models(&self) -> Vec<Arc<Loaded>> {
        lock(&self.state).models.clone()
    }

    /// The lane that a client's link asks for: of a model that it may use, for texts of a length, or for pictures; opened where it
    /// is not. A link for making goes to a model that was replaced where the link for using is there, too.
    ///
    /// # Errors
    /// Why a client does not get it.
    pub fn get(
        &self,
        (client, standing): (&str, &Arc<Standing>),
        hello: &ClientHello,
    ) -> Result<Held, Refusal> {
        let may = self.common.usage.may(client)?;
        let models = self.models();
        let (model, is_over) = match choose(&models, hello, &may) {
            Ok(model) => (model, false),
            Err(why) => {
                let left = hello.making.and_then(|_| self.leaving(hello));
                (left.filter(|model| may(model.name())).ok_or(why)?, true)
            }
        };
        // A new length costs a plan: it is not for a client that may not ask.
        if hello.length.is_some() {
            self.common.usage.allows(client, model.tariff(), 0)?;
        }
        if is_over {
            let lanes = self.all_leaving();
            let is =
                |lane: &Arc<Lane>| Arc::ptr_eq(&lane.model, &model) && lane.length == hello.length;
            let lane = lanes.into_iter().find(is).ok_or(Refusal::Stale)?;
            return Ok(Held::new(lane, None));
        }
        self.of(&model, hello.length, (client, standing))
    }

    /// The lane of a model for texts of a length, or for pictures, for a client's link.
    ///
    /// # Errors
    /// As [`Lanes::get`]; [`Refusal::Stale`] where the model was replaced.
    pub fn of(
        &self,
        model: &Arc<Loaded>,
        length: Option<Length>,
        by: (&str, &Arc<Standing>),
    ) -> Result<Held, Refusal> {
        accepts(model, length)?;
        let claim = length.map(|length| self.holders.claim(by, (model.name().into(), length)));
        let claim = claim.transpose()?;
        let held = |lane| Held::new(lane, claim);
        if let Some(lane) = self.find(model, length) {
            return Ok(held(lane));
        }
        let _one = lock(&self.opening);
        if let Some(lane) = self.find(model, length) {
            return Ok(held(lane));
        }
        let length = length.ok_or(Refusal::Stale)?;
        if !self.models().iter().any(|one| Arc::ptr_eq(one, model)) {
            return Err(Refusal::Stale);
        }
        let lane = self.texts(model, length)?;
        lock(&self.state).open.push(Arc::clone(&lane));
        Ok(held(lane))
    }

    fn all_leaving(&self) -> Vec<Arc<Lane>> {
        lock(&self.state).leaving.iter().filter_map(Weak::upgrade).collect()
    }

    /// The model that was replaced and that a client goes on with, by its hash.
    fn leaving(&self, hello: &ClientHello) -> Option<Arc<Loaded>> {
        let models: Vec<_> =
            self.all_leaving().iter().map(|lane| Arc::clone(&lane.model)).collect();
        let known =
            |model: &&Arc<Loaded>| choose(std::slice::from_ref(model), hello, |_| true).is_ok();
        hello.model.as_ref().and_then(|_| models.iter().find(known).map(Arc::clone))
    }

    /// Whether batches can be had now: of each model, in some of its lanes, where any is open.
    ///
    /// # Errors
    /// What the dealer or a pool lacks.
    pub fn ready(&self) -> Result<(), String> {
        let state = lock(&self.state);
        state.models.iter().try_for_each(|model| {
            let of = state.open.iter().filter(|lane| Arc::ptr_eq(&lane.model, model));
            let mut all = of.map(|lane| match &lane.supply {
                Supply::Dealer(sessions) => sessions.ready(),
                // Batches are made with each client that comes.
                Supply::Peer(_) => Ok(()),
            });
            let first = all.next().unwrap_or(Ok(()));
            if first.is_err() && all.any(|other| other.is_ok()) { Ok(()) } else { first }
        })
    }

    /// Of each model, batches that wait for a client, and those that clients hold or are evaluating with. What was replaced counts
    /// under its name.
    pub fn batches(&self) -> Vec<(String, [usize; 2])> {
        let mut all: Vec<(String, [usize; 2])> = Vec::new();
        let (open, shelves) = {
            let state = lock(&self.state);
            (state.open.clone(), state.shelves.clone())
        };
        for model in self.models() {
            let on_disk = shelves.iter().find(|(name, _)| name == model.name());
            all.push((model.name().to_owned(), [on_disk.map_or(0, |(_, shelf)| shelf.all()), 0]));
        }
        for lane in open.into_iter().chain(self.all_leaving()) {
            let [ready, held] = match &lane.supply {
                Supply::Dealer(sessions) => sessions.batches(),
                Supply::Peer(workplace) => workplace.made.batches(),
            };
            let name = lane.model.name();
            match all.iter_mut().find(|(other, _)| other == name) {
                Some((_, [r, h])) => (*r, *h) = (*r + ready, *h + held),
                None => all.push((name.to_owned(), [ready, held])),
            }
        }
        all
    }

    fn find(&self, model: &Arc<Loaded>, length: Option<Length>) -> Option<Arc<Lane>> {
        let mut state = lock(&self.state);
        state.fit(&self.common);
        let is = |lane: &Arc<Lane>| Arc::ptr_eq(&lane.model, model) && lane.length == length;
        let at = state.open.iter().position(is)?;
        let lane = state.open.remove(at);
        state.open.push(Arc::clone(&lane));
        Some(lane)
    }

    fn texts(&self, model: &Arc<Loaded>, length: Length) -> Result<Arc<Lane>, Refusal> {
        let common = &self.common;
        let unusable = |e: Error| {
            tracing::warn!("{}, texts of {length} tokens: {e}", model.name());
            Refusal::Card(e.to_string())
        };
        let plan = model.card.trace(Some(length)).map_err(unusable)?.plan;
        let source = common.config.source;
        let memory = Memory::of(&plan, source).map_err(unusable)?;
        let (batch, least) = (memory.batch, memory.least() as u64);
        let (whole, now) = lock(&self.state).for_texts(common);
        let needed = memory.needs();
        if needed > whole {
            // How many models there are is not for every client to know.
            let (needed, parts) =
                (needed.div_ceil(1 << 20), (common.config.memory() / whole.max(1)).max(1));
            tracing::warn!(
                "{}, texts of {length} tokens: they need `memory = {}`, {needed} MiB for each of {parts} parts",
                model.name(),
                needed.saturating_mul(parts)
            );
            return Err(Refusal::Memory { rows: length.rows() as u32, needed });
        }
        // Half of it is for other lengths, where it can be.
        let wanted = (now / 2 / batch).clamp(least, PLACES.saturating_add(least));
        // More than one has to give way where this one takes more memory.
        let mut ways = LANES;
        let places = loop {
            let mut state = lock(&self.state);
            let (_, now) = state.for_texts(common);
            let (count, taken) = state.texts();
            let places = now.saturating_sub(taken) / batch;
            if places >= least && count < LANES {
                break places.min(wanted);
            }
            let idle = |lane: &Arc<Lane>| lane.length.is_some() && Arc::strong_count(lane) == 1;
            let idle = state.open.iter().position(idle).map(|at| state.open.remove(at));
            drop(state);
            if idle.is_none() && !(ways > 0 && self.holders.give_way()) {
                return Err(Refusal::Lengths(count));
            }
            ways -= usize::from(idle.is_none());
        };
        // One is in use, the others wait for whoever comes; those on disks wait for each client, and take no place.
        let pool = match source {
            Source::Dealer => model.offer.pool.min(places as usize - 1),
            _ => model.offer.pool,
        };
        let places = [places as usize, pool];
        let lane =
            Lane::open(common, model, (Some(length), plan, memory), places).map_err(unusable)?;
        lane.begin();
        Ok(Arc::new(lane))
    }
}

/// Whether a model takes texts of a length, or pictures.
fn accepts(model: &Loaded, length: Option<Length>) -> Result<(), Refusal> {
    let (most, length) = match (&model.input, length) {
        (Input::Words(words), Some(length)) => (words.positions, length),
        (Input::Words(_), None) => return Err(Refusal::OtherInput("texts".into())),
        (_, None) => return Ok(()),
        (_, Some(_)) => return Err(Refusal::OtherInput("pictures".into())),
    };
    let (Length::Public(rows) | Length::Hidden(rows)) = length;
    match length {
        Length::Hidden(_) if model.card.options.lengths == Lengths::Public => {
            Err(Refusal::PublicLength)
        }
        _ if !(1..=most).contains(&length.rows()) => {
            Err(Refusal::Length { rows, most: most as u32 })
        }
        Length::Hidden(_) if !buckets(most).contains(&rows) => Err(Refusal::Bucket(rows)),
        _ => Ok(()),
    }
}
