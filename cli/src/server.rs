//! `sotto serve`: the server process.
//!
//! It owns the weights. A client learns the model's public description, the masked weights (uniform), and the
//! result; the server learns which client asks and how often.

#[cfg(test)]
mod fuzz;
mod lanes;
mod made;
mod make;
mod models;
mod observed;
mod pool;
mod room;
#[cfg(test)]
mod schedules;
mod served;
mod session;
mod standing;
mod store;
mod sync;
mod trust;
mod turns;
mod usage;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sotto_models::{calibration::hex, length::Length};
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::weights::setup_pieces;
use zeroize::Zeroizing;

use crate::{
    config::{self, ServedClient, ServerConfig, Source},
    dealer_link::Dealer,
    error::Error,
    health, listen, longest,
    messages::{self, ClientHello, Epoch, Masks, Reply, ServerWelcome, VERSION, step},
    metrics::Metrics,
    refusal::Refusal,
    reload,
    stop::Stop,
};
use lanes::{Common, Held, Lanes, Supply};
use made::Links;
use make::Shop;
pub use models::Loaded;
use pool::Holder;
use served::{Batches, Served};
use standing::Standing;
use turns::Turns;
use usage::Usage;

struct Server {
    source: Source,
    /// Of the models' hashes.
    salt: Zeroizing<[u8; 32]>,
    lanes: Lanes,
    /// Its models and clients may change while it runs.
    config: Mutex<ServerConfig>,
    usage: Arc<Usage>,
    links: AtomicU64,
    /// Of masking weights.
    masking: Turns,
    deadline: Duration,
    metrics: Metrics,
    stop: Stop,
}

/// Runs the server of a configuration file until it is asked to stop; `ready` is called with the bound address, and name and hash of each model.
///
/// # Errors
/// [`Error::Config`], [`Error::Model`] and [`Error::Net`] when it cannot start.
pub fn run(
    path: &Path,
    stop: &Stop,
    ready: impl FnOnce(std::net::SocketAddr, &[(String, String)]),
) -> Result<(), Error> {
    let (config, base): (ServerConfig, _) = (config::load(path)?, config::folder(path));
    let config = &config;
    let offers = config.offers()?;
    let clients: Vec<_> = config.clients.iter().map(ServedClient::peer).collect();
    let accepted: Vec<_> = clients.iter().collect();
    let dealer = config.source.dealer(&config.dealer)?;
    let dialled: Vec<_> = dealer.iter().copied().collect();
    if dealer.is_none() {
        config.without_dealer()?;
    }
    let identity = config.own.identity(base)?;
    let salt = identity.naming();
    let models = models::read_all(offers, base, &salt, &[])?;
    let endpoint = Arc::new(config.own.bind(base, &dialled, &accepted)?);
    let file = config.usage_file().map(|f| base.join(f));
    let usage = Arc::new(Usage::open(&config.clients, &config.own.name, file)?);
    let deadline = config.own.deadline();
    let dealer = dealer.map(|dealer| Dealer {
        endpoint: Arc::clone(&endpoint),
        peer: dealer.clone(),
        plan: [0; 32],
        // It must hear of a failure within its own deadline.
        deadline: deadline / 2,
    });
    let lanes = Lanes::new(Common {
        usage: Arc::clone(&usage),
        dealer,
        config: config.clone(),
        base: base.to_owned(),
        folders: Mutex::default(),
        shelves: Mutex::default(),
        links: Links::new(config.memory()),
        secret: identity.secret("made batches"),
        trust: Arc::default(),
    });
    lanes.commit(lanes.prepare(models)?);
    let server = Server {
        source: config.source,
        salt,
        lanes,
        config: Mutex::new(config.clone()),
        usage,
        links: AtomicU64::new(0),
        masking: Turns::default(),
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
    // No longer held on to than they are served.
    let of = |model: &Arc<Loaded>| (model.name().to_owned(), hex(&model.commitment));
    let named: Vec<_> = server.lanes.models().iter().map(of).collect();
    named.iter().for_each(|(name, hash)| tracing::info!("model {name} is {hash}"));
    ready(endpoint.local_addr(), &named);
    let usage = Arc::clone(&server.usage);
    let ended = listen::accept(&endpoint, stop, &Arc::new(move |link| server.attend(link)));
    // Threads that live as long as the process hold the server: it is not dropped.
    usage.close();
    ended
}

impl Server {
    /// How long the dealer is waited for while a client waits: it must hear of a failure within its own deadline.
    fn patience(&self) -> Duration {
        self.deadline / 2
    }

    fn config(&self) -> MutexGuard<'_, ServerConfig> {
        self.config.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes the models of a changed configuration and what their files say now, its clients with their limits, and the dealer's
    /// certificates.
    fn reload(&self, now: ServerConfig, at: &Endpoint, base: &Path) -> Result<String, Error> {
        let clients: Vec<_> = now.clients.iter().map(ServedClient::peer).collect();
        let dialled: Vec<_> = now.source.dealer(&now.dealer)?.into_iter().collect();
        let offers = now.offers()?;
        if now.source != Source::Dealer {
            now.without_dealer()?;
        }
        self.usage.admits(&now.clients)?;
        // Whatever can be refused is, before anything gives way.
        let pinned = now.own.pinned(base, &dialled, &clients.iter().collect::<Vec<_>>())?;
        let before = self.lanes.models();
        let models = models::read_all(offers, base, &self.salt, &before)?;
        let changed = models::compare(&before, &models);
        let change = self.lanes.prepare(models)?;
        if let Err(e) = self.usage.reload(&now.clients, || pinned.rebind(at)) {
            self.lanes.restore(change);
            return Err(e);
        }
        self.lanes.commit(change);
        let mut held = self.config();
        let names = |config: &ServerConfig| -> Vec<String> {
            config.clients.iter().map(|c| c.name.clone()).collect()
        };
        let (before, after) = (names(&held), names(&now));
        let rest = held.take(now);
        let [before, after] = [&before, &after].map(|all| all.iter().map(String::as_str));
        Ok(changed + &reload::said(before, after, rest))
    }

    fn attend(&self, mut link: QuicLink) {
        link.set_deadline(self.deadline);
        let (peer, name) = (link.peer().to_owned(), link.name().to_owned());
        let _open = self.metrics.link();
        match self.converse(&mut link) {
            Ok(()) => tracing::info!("{peer} has finished"),
            // Between evaluations, whatever it found wrong with its own inputs or with us; what it held is charged.
            Err(Error::Net(sotto_net::Error::Link { why, .. })) => {
                tracing::info!("{peer} has left: {why}");
            }
            Err(e) => {
                self.metrics.failed(&name);
                tracing::warn!("{peer}: {e}; the batch in use, if any, is burnt");
            }
        }
    }

    fn converse(&self, link: &mut QuicLink) -> Result<(), Error> {
        let hello: ClientHello = messages::recv(link, step::HELLO)?;
        let number = self.links.fetch_add(1, Ordering::Relaxed);
        let ender = link.ender();
        let standing = Arc::new(Standing::new(self.deadline, move |why| ender.end(why)));
        let (lane, batches) = match self.supply(link, &hello, &standing) {
            Ok(supply) => supply,
            Err(why) => {
                self.metrics.refused(link.name());
                messages::send(link, step::WELCOME, &ServerWelcome::Refused(why))?;
                return Ok(link.finish()?);
            }
        };
        if let (Supply::Peer(workplace), Some(theirs)) = (&lane.supply, hello.making) {
            let folder = hello.waits.map(|waits| waits.folder);
            return match workplace.open(link, (theirs, folder), (self.deadline, &standing))? {
                Some(shop) => self.make(link, (number, &standing), lane, shop),
                None => Ok(()),
            };
        }

        let (epoch, masks, setup) = match &batches {
            Batches::Dealt(session) => {
                let fresh = hello.held != Some(session.masks);
                (session.epoch, session.masks, fresh.then_some(&session.seed))
            }
            Batches::Made(_) => (Epoch::default(), Masks::default(), None),
        };
        let (keeps, waits) = match &lane.supply {
            Supply::Dealer(_) => (0, Vec::new()),
            Supply::Peer(workplace) => {
                (workplace.keeps(), workplace.meets(link.name(), hello.waits)?)
            }
        };
        let announced = setup.map_or(0, |_| lane.plan.setup_bytes() as u64);
        let welcome = ServerWelcome::Card {
            name: lane.model.name().to_owned(),
            card: lane.model.card.clone(),
            plan: lane.hash,
            model: lane.model.commitment,
            epoch,
            masks,
            setup: announced,
            keeps,
            waits,
        };
        messages::send(link, step::WELCOME, &welcome)?;
        if let Some(seed) = setup {
            link.set_longest(Some(longest::carried(announced, self.deadline)));
            // Piece by piece: all of them masked are larger than what the server keeps. One at a time: whoever greets again and
            // again, and takes the weights each time, has one core at most.
            let pieces = setup_pieces(&lane.plan, lane.model.weights.all_plain(), seed);
            let pieces = self.masking.each(pieces);
            messages::send_pieces(link, step::SETUP, pieces)?;
            link.set_longest(None);
        }
        let holder = Holder { link: number, name: link.name().into() };
        Served::new(self, (lane, batches), (holder, standing)).serve(link)
    }

    /// The lane that a client asks for, and its batches.
    fn supply(
        &self,
        link: &mut QuicLink,
        hello: &ClientHello,
        standing: &Arc<Standing>,
    ) -> Result<(Held, Batches), Refusal> {
        self.check(link.name(), hello)?;
        let lane = self.lanes.get((link.name(), standing), hello)?;
        let batches = match &lane.supply {
            Supply::Dealer(sessions) => {
                // A link that has failed says so at its next use.
                let tell = |dealer| {
                    drop(messages::send(link, step::WELCOME, &ServerWelcome::Waiting { dealer }));
                };
                let session = sessions.current(hello.stale, self.patience(), tell);
                Batches::Dealt(session.inspect_err(|why| tracing::warn!("{}: {why}", link.peer()))?)
            }
            Supply::Peer(workplace) => Batches::Made(Arc::clone(&workplace.made)),
        };
        Ok((lane, batches))
    }

    /// Makes batches over a link that is set up: of one length after the other.
    fn make(
        &self,
        link: &mut QuicLink,
        (number, standing): (u64, &Arc<Standing>),
        mut lane: Held,
        mut shop: Shop,
    ) -> Result<(), Error> {
        while let Supply::Peer(workplace) = &lane.supply {
            let ended = (self.deadline, &self.stop);
            let asked = workplace.make_all(link, (number, standing), &mut shop, ended)?;
            let Some(length) = asked else {
                // As on a link for evaluating: others have its place before it hears of the end.
                drop((lane, shop));
                drop(link.finish());
                return Ok(());
            };
            // It may have to give way to the next.
            let model = Arc::clone(&lane.model);
            drop(lane);
            match self.turn((link.name(), standing), (&model, length), &mut shop) {
                Ok(next) => lane = next,
                Err(why) => {
                    messages::send(link, step::REPLY, &Reply::Refused(why))?;
                    return Ok(link.finish()?);
                }
            }
            messages::send(link, step::REPLY, &Reply::Length { plan: lane.hash })?;
        }
        Ok(())
    }

    /// The lane of another length, which a link for making goes on with.
    fn turn(
        &self,
        by: (&str, &Arc<Standing>),
        (model, length): (&Arc<Loaded>, Length),
        shop: &mut Shop,
    ) -> Result<Held, Refusal> {
        self.usage.allows(by.0, model.tariff(), 0)?;
        let lane = self.lanes.of(model, Some(length), by)?;
        match &lane.supply {
            Supply::Peer(workplace) => workplace.enter(by, shop)?,
            Supply::Dealer(_) => return Err(Refusal::NotYourRole("client of a dealer".into())),
        }
        Ok(lane)
    }

    /// Whether this peer is served: also for its role, which the handshake has checked.
    fn check(&self, name: &str, hello: &ClientHello) -> Result<(), Refusal> {
        match hello {
            _ if !self.config().clients.iter().any(|c| c.name == name) => {
                Err(Refusal::NotYourRole("client".into()))
            }
            _ if hello.version != VERSION => {
                Err(Refusal::Version { ours: VERSION, yours: hello.version })
            }
            _ if hello.source != self.source => {
                Err(Refusal::OtherSource { ours: self.source, yours: hello.source })
            }
            _ => Ok(()),
        }
    }
}
