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
mod served;
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
    time::Duration,
};

use sotto_models::{calibration::hex, length::Length, model::Input};
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::weights::{Matrix, Weights, setup_pieces};

use crate::{
    card::Card,
    config::{self, ServedClient, ServerConfig, Source},
    dealer_link::Dealer,
    error::Error,
    health, listen,
    messages::{self, ClientHello, Epoch, Masks, Reply, ServerWelcome, VERSION, step},
    metrics::Metrics,
    model::Model,
    refusal::Refusal,
    reload,
    stop::Stop,
};
use lanes::{Common, Held, Lanes, Supply};
use make::Shop;
use pool::Holder;
use served::{Batches, Served};
use usage::{Tariff, Usage};

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
    let card = model.card(config.batch, config.options());
    let input = model.arch.input.clone();
    let texts = matches!(input, Input::Words(_));
    // Plans of all lengths have the same matrices, in the same order.
    let private = card.trace(texts.then_some(Length::Public(1)))?;
    let matrices = private.matrices(&model.weights);
    // What is left is in the matrices, packed.
    drop(model);
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
    let usage = Arc::clone(&server.usage);
    let ended = listen::accept(&endpoint, stop, &Arc::new(move |link| server.attend(link)));
    // Threads that live as long as the process hold the server: it is not dropped.
    usage.close();
    ended
}

/// A hash of the matrices that confirms no guess: `salt` is the server's secret, and the same after a restart.
fn commit(salt: &[u8; 32], matrices: &[Matrix]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(salt);
    let mut bytes = Vec::new();
    let mut update = |words: &[u64]| {
        bytes.clear();
        bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        hasher.update(&bytes);
    };
    for matrix in matrices {
        let (entries, bias) = (matrix.entries(), matrix.bias.iter().map(|b| *b as u64));
        update(&[entries.count() as u64]);
        entries.each(&mut update);
        update(&[matrix.bias.len() as u64]);
        update(&bias.collect::<Vec<_>>());
    }
    *hasher.finalize().as_bytes()
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
            if hello.length.is_some() {
                self.usage.allows(link.name(), 0)?;
            }
            let lane = self.lanes.get(&self.input, hello.length, link.name())?;
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
            return match workplace.open(link, theirs, self.deadline)? {
                Some(shop) => self.make(link, number, lane, shop),
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
        let welcome = ServerWelcome::Card {
            card: self.card.clone(),
            plan: lane.hash,
            model: self.commitment,
            epoch,
            masks,
            setup: setup.map_or(0, |_| lane.plan.setup_bytes() as u64),
        };
        messages::send(link, step::WELCOME, &welcome)?;
        if let Some(seed) = setup {
            // Matrix by matrix: all of them masked are larger than what the server keeps.
            let pieces = setup_pieces(&lane.plan, self.weights.all_plain(), seed);
            messages::send_pieces(link, step::SETUP, pieces)?;
        }
        let holder = Holder { link: number, name: link.name().into() };
        Served::new(self, (lane, batches), holder).serve(link)
    }

    /// Makes batches over a link that is set up: of one length after the other.
    fn make(
        &self,
        link: &mut QuicLink,
        number: u64,
        mut lane: Held,
        mut shop: Shop,
    ) -> Result<(), Error> {
        while let Supply::Peer(workplace) = &lane.supply {
            let ended = (self.deadline, &self.stop);
            let Some(length) = workplace.make_all(link, number, &mut shop, ended)? else {
                // As on a link for evaluating: others have its place before it hears of the end.
                drop((lane, shop));
                drop(link.finish());
                return Ok(());
            };
            // It may have to give way to the next.
            drop(lane);
            match self.turn(link.name(), length, &mut shop) {
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
    fn turn(&self, client: &str, length: Length, shop: &mut Shop) -> Result<Held, Refusal> {
        self.usage.allows(client, 0)?;
        let lane = self.lanes.get(&self.input, Some(length), client)?;
        match &lane.supply {
            Supply::Peer(workplace) => workplace.enter(client, shop)?,
            Supply::Dealer(_) => return Err(Refusal::NotYourRole("client of a dealer".into())),
        }
        Ok(lane)
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
