//! `sotto serve`: the server process.
//!
//! It owns the weights. A client learns the model's public description, the masked weights (uniform), and the
//! result; the server learns which client asks and how often.

#[cfg(test)]
mod fuzz;
mod lanes;
mod made;
mod make;
mod observed;
mod pool;
mod session;
mod store;
mod trust;
mod usage;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sotto_models::{calibration::hex, model::Input};
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{
    Role,
    party::Party,
    weights::{Matrix, Weights},
};

use crate::{
    card::Card,
    config::{self, ServedClient, ServerConfig, Source},
    dealer_link::Dealer,
    error::Error,
    health, listen,
    messages::{
        self, ClientHello, Epoch, Masks, Reply, Request, ServerWelcome, Tag, VERSION, step,
    },
    metrics::{Evaluated, Metrics},
    model::Model,
    refusal::Refusal,
    reload,
    stop::Stop,
};
use lanes::{Common, Lane, Lanes, Supply};
use made::Made;
use pool::{Holder, Waiting};
use session::Session;
use usage::{Tariff, Usage, Used};

struct Server {
    source: Source,
    card: Card,
    input: Input,
    commitment: [u8; 32],
    lanes: Lanes,
    weights: Arc<Weights>,
    /// Its clients may change while it runs.
    config: Mutex<ServerConfig>,
    usage: Arc<Usage>,
    links: AtomicU64,
    deadline: Duration,
    metrics: Metrics,
    stop: Stop,
}

/// Runs the server of a configuration file until it is asked to stop; `ready` is called with the bound address.
///
/// # Errors
/// [`Error::Config`], [`Error::Model`] and [`Error::Net`] when it cannot start.
pub fn run(
    path: &Path,
    stop: &Stop,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<(), Error> {
    let (config, base): (ServerConfig, _) = (config::load(path)?, config::folder(path));
    let config = &config;
    let named = Model::is_named(&config.model);
    let model = Model::find(&if named { config.model.clone() } else { base.join(&config.model) })?;
    let card = Card::new(&model, config.batch, config.options());
    let input = model.arch.input.clone();
    let texts = matches!(input, Input::Words(_));
    // Plans of all lengths have the same matrices, in the same order.
    let private = card.trace(texts.then_some(1))?;
    let matrices = private.matrices(&model.weights);
    let clients: Vec<_> = config.clients.iter().map(ServedClient::peer).collect();
    let accepted: Vec<_> = clients.iter().collect();
    let dealer = config.source.dealer(&config.dealer)?;
    let dialled: Vec<_> = dealer.iter().copied().collect();
    let endpoint = Arc::new(config.own.bind(base, &dialled, &accepted)?);
    let tariff = Tariff { server: config.own.name.clone(), images: config.batch as u64 };
    let usage = Usage::open(&config.clients, tariff, config.usage_file().map(|f| base.join(f)))?;
    let usage = Arc::new(usage);
    let identity = config.own.identity(base)?;
    let commitment = commit(&identity.secret("model commitment"), &matrices);
    let deadline = config.own.deadline();
    let weights = Arc::new(Weights::Plain(matrices));
    if dealer.is_none() {
        config.without_dealer()?;
    }
    let folder = config.pool_folder.as_ref().map(|f| base.join(f));
    if texts && folder.is_some() {
        let why = "`pool_folder` is for models of pictures; texts have batches for each length, in memory: leave it out";
        return Err(Error::Config(why.into()));
    }
    let dealer = dealer.map(|dealer| Dealer {
        endpoint: Arc::clone(&endpoint),
        peer: dealer.clone(),
        plan: [0; 32],
        // It must hear of a failure within its own deadline.
        deadline: deadline / 2,
    });
    let lanes = Lanes::new(Common {
        card: card.clone(),
        commitment,
        weights: Arc::clone(&weights),
        usage: Arc::clone(&usage),
        dealer,
        folder: session::folder(folder, &config.own.name)?,
        config: config.clone(),
        trust: Arc::default(),
        masked: Arc::default(),
    });
    if !texts {
        lanes.pictures()?;
    }
    let server = Server {
        source: config.source,
        card,
        input,
        commitment,
        lanes,
        weights,
        config: Mutex::new(config.clone()),
        usage,
        links: AtomicU64::new(0),
        deadline,
        metrics: Metrics::default(),
        stop: stop.clone(),
    };
    let server = Arc::new(server);
    if let Some(at) = config.own.health {
        health::serve(at, Arc::clone(&server) as _)?;
    }
    let (again, at, base) = (Arc::clone(&server), Arc::clone(&endpoint), base.to_owned());
    reload::on_signal(path, move |config| again.reload(config, &at, &base))?;
    tracing::info!("model {}", hex(&commitment));
    ready(endpoint.local_addr());
    listen::accept(&endpoint, stop, &Arc::new(move |link| server.attend(link)))
}

/// A hash of the matrices that confirms no guess: `salt` is the server's secret, and the same after a restart.
fn commit(salt: &[u8; 32], matrices: &[Matrix]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(salt);
    for matrix in matrices {
        for (len, words) in [
            (
                matrix.entries.len(),
                &mut matrix.entries.iter().copied() as &mut dyn Iterator<Item = u64>,
            ),
            (matrix.bias.len(), &mut matrix.bias.iter().map(|b| *b as u64)),
        ] {
            hasher.update(&(len as u64).to_le_bytes());
            words.for_each(|w| {
                hasher.update(&w.to_le_bytes());
            });
        }
    }
    *hasher.finalize().as_bytes()
}

/// Whose batches a connection uses.
enum Batches {
    Dealt(Arc<Session>),
    Made(Arc<Made>),
}

/// The place of a batch that is in use.
#[expect(dead_code, reason = "held until the evaluation is over")]
enum Place {
    Dealt(pool::Place),
    Made(made::Place),
}

/// A connection to a client, and what it holds.
struct Served<'a> {
    server: &'a Server,
    lane: Arc<Lane>,
    batches: Batches,
    holder: Holder,
    name: String,
    /// The batch that was got ready last.
    prepared: Option<u64>,
    /// Whether something was evaluated.
    used: bool,
}

impl Server {
    /// How long the dealer is waited for while a client waits: it must hear of a failure within its own deadline.
    fn patience(&self) -> Duration {
        self.deadline / 2
    }

    fn config(&self) -> MutexGuard<'_, ServerConfig> {
        self.config.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes the clients of a changed configuration, with their limits, and the dealer's certificates.
    fn reload(&self, now: ServerConfig, at: &Endpoint, base: &Path) -> Result<String, Error> {
        let clients: Vec<_> = now.clients.iter().map(ServedClient::peer).collect();
        let dialled: Vec<_> = now.source.dealer(&now.dealer)?.into_iter().collect();
        self.usage.admits(&now.clients)?;
        now.own.rebind(at, base, &dialled, &clients.iter().collect::<Vec<_>>())?;
        self.usage.reload(&now.clients)?;
        let mut held = self.config();
        let names = |config: &ServerConfig| -> Vec<String> {
            config.clients.iter().map(|c| c.name.clone()).collect()
        };
        let (before, after) = (names(&held), names(&now));
        let rest = ServerConfig { clients: held.clients.clone(), ..now.clone() } == *held;
        held.clients = now.clients;
        let [before, after] = [&before, &after].map(|all| all.iter().map(String::as_str));
        Ok(reload::said(before, after, rest))
    }

    fn attend(&self, mut link: QuicLink) {
        link.set_deadline(self.deadline);
        let (peer, name) = (link.peer().to_owned(), link.name().to_owned());
        let _open = self.metrics.link();
        match self.converse(&mut link) {
            Ok(()) => tracing::info!("{peer} has finished"),
            Err(e) => {
                self.metrics.failed(&name);
                tracing::warn!("{peer}: {e}; the batch in use, if any, is burnt");
            }
        }
    }

    fn converse(&self, link: &mut QuicLink) -> Result<(), Error> {
        let hello: ClientHello = messages::recv(link, step::HELLO)?;
        let number = self.links.fetch_add(1, Ordering::Relaxed);
        let supply = self.check(link.name(), &hello).and_then(|()| {
            // A new length costs a plan: it is not for a client that may not ask.
            if hello.rows.is_some() {
                self.usage.allows(link.name(), 0)?;
            }
            let lane = self.lanes.get(&self.input, hello.rows)?;
            let batches = match &lane.supply {
                Supply::Dealer(sessions) => {
                    let session = sessions.current(hello.stale, self.patience());
                    Batches::Dealt(
                        session.inspect_err(|why| tracing::warn!("{}: {why}", link.peer()))?,
                    )
                }
                Supply::Peer(workplace) => Batches::Made(Arc::clone(&workplace.made)),
            };
            Ok((lane, batches))
        });
        let (lane, batches) = match supply {
            Ok(supply) => supply,
            Err(why) => {
                self.metrics.refused(link.name());
                messages::send(link, step::WELCOME, &ServerWelcome::Refused(why))?;
                return Ok(link.finish()?);
            }
        };
        if let (Supply::Peer(workplace), Some(theirs)) = (&lane.supply, hello.making) {
            return workplace.make_all(link, number, theirs, (self.deadline, &self.stop));
        }
        let (epoch, masks, setup) = match &batches {
            Batches::Dealt(session) if hello.held == Some(session.masks) => {
                (session.epoch, session.masks, &[][..])
            }
            Batches::Dealt(session) => (session.epoch, session.masks, &session.setup[..]),
            Batches::Made(_) => (Epoch::default(), Masks::default(), &[][..]),
        };
        let welcome = ServerWelcome::Card {
            card: self.card.clone(),
            plan: lane.hash,
            model: self.commitment,
            epoch,
            masks,
            setup: setup.len() as u64,
        };
        messages::send(link, step::WELCOME, &welcome)?;
        messages::send_bytes(link, step::SETUP, setup)?;
        let name = link.name().to_owned();
        let holder = Holder { link: number, name: name.as_str().into() };
        let (prepared, used) = (None, false);
        let mut served = Served { server: self, lane, batches, holder, name, prepared, used };
        served.serve(link)
    }

    /// Whether this peer is served: also for its role, which the handshake has checked.
    fn check(&self, name: &str, hello: &ClientHello) -> Result<(), Refusal> {
        match &hello.model {
            _ if !self.config().clients.iter().any(|c| c.name == name) => {
                Err(Refusal::NotYourRole("client".into()))
            }
            _ if hello.version != VERSION => {
                Err(Refusal::Version { ours: VERSION, yours: hello.version })
            }
            _ if hello.source != self.source => {
                Err(Refusal::OtherSource { ours: self.source, yours: hello.source })
            }
            Some(model) if *model != hex(&self.commitment) => {
                Err(Refusal::OtherModel { asked: model.clone(), served: hex(&self.commitment) })
            }
            _ => Ok(()),
        }
    }
}

impl Served<'_> {
    fn serve(&mut self, link: &mut QuicLink) -> Result<(), Error> {
        let stop = &self.server.stop;
        loop {
            let request = messages::recv(link, step::REQUEST);
            match request {
                Ok(Request::Prepare { .. }) if stop.asked() => return Ok(link.finish()?),
                Ok(Request::Prepare { held, ahead }) => {
                    if let Err(why) = self.prepare(link, held, ahead)? {
                        self.server.metrics.refused(&self.name);
                        tracing::warn!("{} is refused: {why}", link.peer());
                        messages::send(link, step::REPLY, &Reply::Refused(why))?;
                        if let Batches::Dealt(session) = &self.batches
                            && session.pool.is_stale()
                        {
                            return Ok(link.finish()?);
                        }
                    }
                }
                Ok(Request::Infer { id, tag }) => {
                    let Some(_working) = stop.begin() else { return Ok(link.finish()?) };
                    let done = self.infer(link, id, tag);
                    self.used = true;
                    if done.is_err() {
                        self.server.usage.unused(&self.name, 1);
                    }
                    done?;
                    if stop.asked() {
                        // The result must have arrived before the link is closed.
                        return Ok(link.finish()?);
                    }
                }
                Ok(Request::Make) => {
                    let why = Refusal::NotYourRole("client on a link for making".into());
                    messages::send(link, step::REPLY, &Reply::Refused(why))?;
                    return Ok(link.finish()?);
                }
                Ok(Request::Bye) => {
                    // It may have gone before it could say that it has everything.
                    drop(link.finish());
                    return Ok(());
                }
                // An idle client is welcome to stay, what it holds is not.
                Err(Error::Net(sotto_net::Error::Deadline { .. })) => self.settle(),
                Err(e) => return Err(e),
            }
        }
    }

    /// Gets a batch ready for the client, and tells it.
    fn prepare(
        &mut self,
        link: &mut QuicLink,
        held: Option<u64>,
        ahead: u32,
    ) -> Result<Result<(), Refusal>, Error> {
        self.settle();
        match self.server.usage.admit(&self.name) {
            Ok(wait) if wait <= usage::LONGEST => pause(link, wait)?,
            Ok(wait) => return Ok(Err(Refusal::Rate(wait.as_secs() + 1))),
            Err(why) => return Ok(Err(why)),
        }
        let patience = self.server.patience();
        let pool = match &self.batches {
            Batches::Dealt(session) => &session.pool,
            Batches::Made(made) => {
                // The client names what it made with us.
                let id = held.unwrap_or(u64::MAX);
                let (tag, offline_bytes) = match made.ready(&self.name, id, patience) {
                    Ok(ready) => ready,
                    Err(why) => return Ok(Err(why)),
                };
                self.prepared = Some(id);
                let ready = Reply::Ready { id, tag, offline_bytes, ahead: Vec::new() };
                messages::send(link, step::REPLY, &ready)?;
                return Ok(Ok(()));
            }
        };
        let mut ready = None;
        if let Some(id) = held {
            ready = pool.ready(&self.holder, id, patience, &mut wait(link))?.ok().map(|r| (id, r));
        }
        let (id, (tag, offline_bytes)) = loop {
            if let Some(ready) = ready {
                break ready;
            }
            let assigned = match pool.assign(&self.holder, patience, &mut wait(link))? {
                Ok(assigned) => assigned,
                Err(why) => return Ok(Err(why)),
            };
            let id = assigned.id;
            // The client fetches its part while ours is still coming.
            messages::send(link, step::REPLY, &Reply::Assigned(assigned))?;
            ready = match pool.ready(&self.holder, id, patience, &mut wait(link))? {
                Ok(ready) => Some((id, ready)),
                // It failed to come, or its file was damaged: the next one.
                Err(Refusal::Burnt(_)) => None,
                Err(why) => return Ok(Err(why)),
            };
        };
        let ahead = pool.assign_ahead(&self.holder, ahead as usize);
        self.prepared = Some(id);
        messages::send(link, step::REPLY, &Reply::Ready { id, tag, offline_bytes, ahead })?;
        Ok(Ok(()))
    }

    fn infer(&self, link: &mut QuicLink, id: u64, tag: Tag) -> Result<(), Error> {
        let refused = |why| Error::Refused { peer: format!("server to {}", self.name), why };
        // What was not got ready was not admitted.
        let taken = match (&self.batches, self.prepared == Some(id)) {
            (Batches::Dealt(session), true) => {
                let taken = session.pool.take(&self.holder, id);
                taken.map(|(ready, place)| (ready, Place::Dealt(place)))
            }
            (Batches::Made(made), true) => {
                let taken = made.take(&self.name, id);
                taken.map(|(ready, place)| (ready, Place::Made(place)))
            }
            _ => None,
        };
        let (ready, _place) = taken.ok_or_else(|| refused(Refusal::Burnt(id)))?;
        // Before the first opening: two different deals would give a wrong class and tell more than masks hide.
        if ready.tag != tag {
            return Err(Error::Check(format!(
                "{} holds another deal of batch {id} than this server",
                link.peer()
            )));
        }
        let bits = self.lane.bits;
        let used = self.server.usage.charge(&self.name, bits)?;
        let plan = &self.lane.plan;
        let party = Party { role: Role::Server, plan, weights: &self.server.weights };
        let start = Instant::now();
        let done = party.evaluate(link, ready.staged, &[]);
        let done = done.map_err(Error::online(plan))?;
        let seconds = start.elapsed().as_secs_f64();
        let Server { card, metrics, .. } = self.server;
        let inputs = card.batch as u64;
        metrics.evaluated(&self.name, &Evaluated { inputs, bits, seconds });
        let Used { images, bits } = used;
        let what = match self.lane.rows {
            None => format!("{images} images"),
            Some(rows) => format!("{images} texts, the last of {rows} tokens"),
        };
        let bits = match &self.batches {
            Batches::Dealt(_) => format!("at most {bits} bits of the model in {what}"),
            // The bound is proven with an honest dealer.
            Batches::Made(_) => what,
        };
        tracing::info!("{}: batch {id}, {bits}, {} flights", link.peer(), done.traffic.flights);
        Ok(())
    }

    /// Charges whoever left batches until they were too old, this client or another.
    fn settle(&self) {
        if let Supply::Peer(workplace) = &self.lane.supply {
            workplace.settle();
        }
        let Batches::Dealt(session) = &self.batches else { return };
        for (name, batches) in session.pool.left() {
            self.server.usage.unused(&name, batches);
        }
    }

    fn release(&self) {
        self.settle();
        if let Batches::Dealt(session) = &self.batches {
            let unused = session.pool.release(&self.holder);
            self.server.usage.unused(&self.name, unused);
        }
        // A length costs a plan and its announcement: who asks for one uses it.
        if self.lane.rows.is_some() && !self.used {
            self.server.usage.unused(&self.name, 1);
        }
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Lets a client wait for its rate, and tells it once a second.
fn pause(link: &mut QuicLink, wait: Duration) -> Result<(), Error> {
    let start = Instant::now();
    while let Some(left) = wait.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        thread::sleep(left.min(Duration::from_secs(1)));
        messages::send(link, step::REPLY, &Reply::Paced { left: left.as_secs() })?;
    }
    Ok(())
}

/// Tells the client that it waits for bytes that are coming.
fn wait(link: &mut QuicLink) -> Box<Waiting<'_>> {
    Box::new(|got, all| messages::send(link, step::REPLY, &Reply::Waiting { got, all }))
}
