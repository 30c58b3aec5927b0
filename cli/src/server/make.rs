//! The server's side of making correlations with its clients.

mod disk;

use std::{
    cell::Cell,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sotto_models::length::Length;
use sotto_net::{Link, QuicLink};
use sotto_protocols::{
    Role,
    cost::Cost,
    make::{Extension, Recipe, whole_recipe},
    plan::Plan,
};
use sotto_session::shelf::Shelf;

use super::{
    made::{Joined, Made},
    models::Loaded,
    pool::Ready,
    room::Room,
    standing::Standing,
    usage::Usage,
};
use crate::{
    card::of,
    error::Error,
    messages::{self, FolderId, Nonce, Reply, Request, Secret, ServerWelcome, step},
    refusal::Refusal,
    stop::Stop,
    workshop::{Workshop, longest, longest_setup, nonce, patience, session},
};

/// What all links for making have in common.
pub struct Workplace {
    plan: Arc<Plan>,
    model: Arc<Loaded>,
    recipe: Arc<Recipe>,
    cost: Cost,
    usage: Arc<Usage>,
    /// What stands beside its numbers in logs.
    of: String,
    /// What was made.
    pub made: Arc<Made>,
    shelf: Option<OnDisk>,
}

/// Where batches wait, and how many of each client's.
pub type OnDisk = (Arc<Shelf>, Arc<Room>);

/// A link for making that is set up, and its memory. No `Debug`: it is secret.
pub struct Shop {
    workshop: Workshop,
    joined: Joined,
    /// The client's folder, where it has one.
    folder: Option<FolderId>,
    /// It was set up for another length.
    turned: bool,
}

/// A plan's use of a link for making: with its end, whatever ends it, what it made and nobody used is burnt and charged.
struct Making<'a> {
    workplace: &'a Workplace,
    name: &'a str,
    folder: Option<FolderId>,
    number: u64,
    standing: &'a Standing,
    /// Batches that were begun.
    begun: Cell<usize>,
    /// What it costs to begin none.
    idle: usize,
}

/// A batch that two parties make costs far more than one that is dealt: who leaves it unused is charged so many.
const DEAR: usize = 4;

/// A refusal comes after so long: who asks without end costs little.
const BREATH: Duration = Duration::from_millis(100);

/// A link that asks for nothing for so long is ended: its transfers and keys take memory.
const IDLE: Duration = Duration::from_secs(300);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.workplace.made.release(self.number);
        self.workplace.settle();
        // A link for which nothing is made has cost its setup, a length a plan.
        let idle = if self.begun.get() == 0 { self.idle } else { 0 };
        self.workplace.usage.unused(self.name, idle);
    }
}

impl Workplace {
    /// For a plan, with nothing made yet.
    ///
    /// # Errors
    /// [`Error::Protocol`] where the plan has correlations that only a dealer can make.
    pub fn new(
        plan: &Arc<Plan>,
        extension: Extension,
        model: Arc<Loaded>,
        (made, shelf): (Arc<Made>, Option<OnDisk>),
        usage: Arc<Usage>,
    ) -> Result<Self, Error> {
        let recipe = Arc::new(whole_recipe(plan, extension)?);
        let cost = recipe.cost(plan);
        let of = of(model.name(), &plan.hash(), None);
        Ok(Self { plan: Arc::clone(plan), model, recipe, cost, usage, of, made, shelf })
    }

    /// Batches that wait for each client on the disk, at most.
    pub fn keeps(&self) -> u32 {
        self.shelf.as_ref().map_or(0, |(_, room)| room.pool() as u32)
    }

    /// Sets a link for making up; nothing where the client was refused.
    ///
    /// # Errors
    /// The link's.
    pub fn open(
        &self,
        link: &mut QuicLink,
        (theirs, folder): (Nonce, Option<FolderId>),
        (deadline, standing): (Duration, &Arc<Standing>),
    ) -> Result<Option<Shop>, Error> {
        let name = link.name().to_owned();
        // Not even the encrypted weights are for a client that may not ask.
        let joined = self.allows(&name, folder).and_then(|()| self.made.join((&name, standing)));
        let joined = match joined {
            Ok(joined) => joined,
            Err(why) => {
                messages::send(link, step::WELCOME, &ServerWelcome::Refused(why))?;
                link.finish()?;
                return Ok(None);
            }
        };
        let ours = nonce()?;
        messages::send(link, step::WELCOME, &ServerWelcome::Making(ours))?;
        link.set_deadline(patience(&self.recipe, deadline));
        let recipe = Arc::clone(&self.recipe);
        let extension = self.recipe.extension;
        let session = session([theirs, ours], &self.plan.hash(), &self.model.commitment, extension);
        let progress = |_, _| Ok(());
        let matrices = Some(self.model.weights.all_plain());
        let within = (longest_setup(&self.cost, deadline), &progress as _);
        let opened = Workshop::open(Role::Server, recipe, link, session, matrices, within);
        if opened.is_err() {
            // Who breaks off in the setup has cost it.
            self.usage.unused(&name, DEAR);
        }
        Ok(Some(Shop { workshop: opened?, joined, folder, turned: false }))
    }

    /// Takes over a link that was set up for another length.
    ///
    /// # Errors
    /// Why the client has no batches of this one.
    pub fn enter(&self, by: (&str, &Arc<Standing>), shop: &mut Shop) -> Result<(), Refusal> {
        self.allows(by.0, shop.folder)?;
        let joined = self.made.join(by)?;
        if !shop.workshop.turn(&self.recipe) {
            return Err(Refusal::Card("texts of this length have other matrices".into()));
        }
        (shop.joined, shop.turned) = (joined, true);
        Ok(())
    }

    /// Makes batches with a client over a link of its own, as many as it asks for and there are places, until it leaves or asks for
    /// another length, which is given.
    ///
    /// # Errors
    /// The link's. What was made over it and not used is burnt.
    pub fn make_all(
        &self,
        link: &mut QuicLink,
        (number, standing): (u64, &Standing),
        shop: &mut Shop,
        (deadline, stop): (Duration, &Stop),
    ) -> Result<Option<Length>, Error> {
        let name = link.name().to_owned();
        link.set_deadline(patience(&self.recipe, deadline));
        let idle = if shop.turned { 1 } else { DEAR };
        let begun = Cell::new(0);
        let folder = shop.folder;
        let making = Making { workplace: self, name: &name, folder, number, standing, begun, idle };
        let longest = longest(&self.recipe, &self.cost, deadline);
        self.make_asked(link, &making, &mut shop.workshop, (longest, stop))
    }

    /// Charges whoever left batches, this client or another.
    pub fn settle(&self) {
        for (name, batches) in self.made.left() {
            self.usage.unused(&name, batches * DEAR);
        }
    }

    fn make_asked(
        &self,
        link: &mut QuicLink,
        making: &Making<'_>,
        workshop: &mut Workshop,
        (longest, stop): (Duration, &Stop),
    ) -> Result<Option<Length>, Error> {
        let finish = |link: &mut QuicLink| -> Result<Option<Length>, Error> {
            link.finish()?;
            Ok(None)
        };
        let mut asked = Instant::now();
        loop {
            let asked_for = match making.standing.asked(|| messages::recv(link, step::REQUEST)) {
                Ok(Request::Make { .. } | Request::Length { .. }) if stop.asked() => {
                    return finish(link);
                }
                // Who asks for what it does not get asks for nothing.
                Ok(Request::Make { .. }) if asked.elapsed() >= IDLE => return finish(link),
                Ok(Request::Make { keep }) => keep,
                Ok(Request::Length { length }) => return Ok(Some(length)),
                Ok(_) => return Ok(None),
                // Nobody needs a batch now, or soon.
                Err(Error::Net(sotto_net::Error::Deadline { .. })) if asked.elapsed() < IDLE => {
                    self.settle();
                    continue;
                }
                Err(Error::Net(sotto_net::Error::Deadline { .. })) => return finish(link),
                Err(e) => return Err(e),
            };
            let Making { name, number, begun: count, .. } = making;
            self.settle();
            let begun =
                self.allows(name, making.folder).and_then(|()| self.made.begin(name, *number));
            let id = match begun {
                Ok(id) => id,
                Err(why) => {
                    thread::sleep(BREATH);
                    messages::send(link, step::REPLY, &Reply::Refused(why))?;
                    continue;
                }
            };
            count.set(count.get() + 1);
            let works = making.standing.works();
            let keeps = match asked_for.filter(|_| self.keeps() > 0) {
                Some(theirs) => Some((Secret::random()?, theirs)),
                None => None,
            };
            let pad = keeps.as_ref().map(|(ours, _)| ours.clone());
            messages::send(link, step::REPLY, &Reply::Making { id, pad })?;
            let (batch, traffic) = workshop.make(link, id, longest, &|| ())?;
            let bytes = traffic.from_server + traffic.from_client;
            tracing::info!("{}: batch {id}, {}, made, {bytes} bytes", link.peer(), self.of);
            if let Some(keeps) = &keeps {
                self.keep(link, keeps, (id, workshop.tag(id)), batch, traffic)?;
                asked = Instant::now();
                continue;
            }
            let staged = batch.stage(&self.plan, Role::Server, &self.model.weights)?;
            self.made.finish(id, Ready { staged, tag: workshop.tag(id), bytes });
            asked = Instant::now();
            drop(works);
        }
    }
}
