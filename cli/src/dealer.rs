//! `sotto deal`: the dealer process.
//!
//! It sees plans, which are public, and its own randomness; never an input, a weight or an opened value, as long as it
//! is nobody's client (servers accept their clients alone). What of a batch was given to whom is in `dealer/ledger.rs`; a restart
//! begins with fresh secrets, so nothing is ever dealt twice.

mod ledger;
mod models;
mod supply;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicBool},
    time::{Duration, Instant},
};

use ledger::Ledger;
use models::{Models, PlanHash, Registered};
use sotto_crypto::Seed;
use sotto_models::length::Length;
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{Role, seeds, weights::SetupMasks};
use supply::Supply;

use crate::{
    card::{Card, short},
    config::{self, CorrectionsConfig, DealerConfig, Peer},
    error::Error,
    health::{self, Observed},
    listen,
    messages::{self, DealerHello, DealerWelcome, Epoch, Secret, VERSION, step},
    metrics::Metrics,
    refusal::Refusal,
    reload,
    stop::Stop,
};

struct Dealer {
    master: Seed,
    corrected: Role,
    /// Its servers and clients may change while it runs.
    config: Mutex<DealerConfig>,
    models: Mutex<Models>,
    /// Held while a model's masks are expanded.
    setups: Mutex<()>,
    /// One for each server that may connect or might before: a server that comes again finds its numbers used.
    ledgers: Mutex<HashMap<String, Arc<Mutex<Ledger>>>>,
    deadline: Duration,
    metrics: Metrics,
    stop: Stop,
}

/// Runs the dealer of a configuration file until it is asked to stop; `ready` is called with the bound address.
///
/// # Errors
/// [`Error::Config`] and [`Error::Net`] when it cannot start.
pub fn run(
    path: &Path,
    stop: &Stop,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<(), Error> {
    let (config, base): (DealerConfig, _) = (config::load(path)?, config::folder(path));
    let endpoint = Arc::new(config.own.bind(base, &[], &config.peers())?);
    let dealer = Arc::new(Dealer::new(&config, stop)?);
    let (again, at, base) = (Arc::clone(&dealer), Arc::clone(&endpoint), base.to_owned());
    reload::on_signal(path, move |config| again.reload(config, &at, &base))?;
    if let Some(at) = config.own.health {
        health::serve(at, Arc::clone(&dealer) as _)?;
    }
    ready(endpoint.local_addr());
    listen::accept(&endpoint, stop, &Arc::new(move |link| dealer.attend(link)))
}

impl Observed for Dealer {
    fn ready(&self) -> Result<(), String> {
        if self.stop.asked() { Err("it is being stopped".into()) } else { Ok(()) }
    }

    fn metrics(&self) -> String {
        self.metrics.text(&[])
    }
}

impl Dealer {
    /// With fresh secrets.
    fn new(config: &DealerConfig, stop: &Stop) -> Result<Self, Error> {
        let dealer = Self {
            ledgers: Mutex::default(),
            master: Seed::random()?,
            corrected: match config.corrections {
                CorrectionsConfig::Server => Role::Server,
                CorrectionsConfig::Client => Role::Client,
            },
            config: Mutex::new(config.clone()),
            models: Mutex::default(),
            setups: Mutex::default(),
            deadline: config.own.deadline(),
            metrics: Metrics::default(),
            stop: stop.clone(),
        };
        dealer.open_ledgers(config)?;
        Ok(dealer)
    }

    /// A ledger for each server that has none yet.
    fn open_ledgers(&self, config: &DealerConfig) -> Result<(), Error> {
        let mut ledgers = self.ledgers.lock().unwrap_or_else(|e| e.into_inner());
        for Peer { name, .. } in &config.servers {
            if !ledgers.contains_key(name) {
                // From a secret that is not kept: what this process still holds leads to no batch that was used.
                let chain = seeds::Chain::new(&Seed::random()?, name);
                ledgers.insert(name.clone(), Arc::new(Mutex::new(Ledger::new(name, chain))));
            }
        }
        Ok(())
    }

    fn config(&self) -> MutexGuard<'_, DealerConfig> {
        self.config.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes the servers and clients of a changed configuration.
    fn reload(&self, now: DealerConfig, at: &Endpoint, base: &Path) -> Result<String, Error> {
        self.open_ledgers(&now)?;
        now.own.pinned(base, &[], &now.peers())?.rebind(at)?;
        let mut held = self.config();
        let rest = DealerConfig {
            servers: held.servers.clone(),
            clients: held.clients.clone(),
            ..now.clone()
        } == *held;
        let (before, after) = (held.peers(), now.peers());
        let [before, after] = [&before, &after].map(|all| all.iter().map(|p| p.name.as_str()));
        let said = reload::said(before, after, rest);
        (held.servers, held.clients) = (now.servers, now.clients);
        Ok(said)
    }

    fn attend(&self, mut link: QuicLink) {
        link.set_deadline(self.deadline);
        let (peer, name) = (link.peer().to_owned(), link.name().to_owned());
        let _open = self.metrics.link();
        match self.converse(&mut link) {
            Ok(()) => {}
            Err(Error::Net(sotto_net::Error::Link { .. })) => tracing::info!("{peer} has left"),
            Err(e) => {
                self.metrics.failed(&name);
                tracing::warn!("{peer}: {e}");
            }
        }
    }

    fn converse(&self, link: &mut QuicLink) -> Result<(), Error> {
        let name = link.name().to_owned();
        let answer = match messages::recv(link, step::HELLO)? {
            DealerHello::Server { version, card, length, plan, commitment } => self
                .check(version)
                .and_then(|()| self.register(&name, (&card, length), plan, &commitment))
                .map(|known| DealerWelcome::Setup {
                    epoch: known.epoch,
                    masks: known.masks,
                    seed: Secret(known.seed.clone()),
                }),
            DealerHello::Batches { version, server, plan, epoch } => {
                let found = self
                    .check(version)
                    .and_then(|()| self.party(&name, server))
                    .and_then(|(role, server)| self.find(role, server, plan, epoch));
                match found {
                    Ok(supply) => {
                        messages::send(link, step::WELCOME, &DealerWelcome::Ready)?;
                        return supply.serve(link, self);
                    }
                    Err(why) => Err(why),
                }
            }
        };
        let answer = answer.unwrap_or_else(|why| {
            self.metrics.refused(&name);
            DealerWelcome::Refused(why)
        });
        messages::send(link, step::WELCOME, &answer)?;
        Ok(link.finish()?)
    }

    fn check(&self, version: u32) -> Result<(), Refusal> {
        match version {
            VERSION => Ok(()),
            yours => Err(Refusal::Version { ours: VERSION, yours }),
        }
    }

    /// The role of who asks for batches, and whose batches they are.
    fn party(&self, name: &str, server: Option<String>) -> Result<(Role, String), Refusal> {
        let config = self.config();
        let has = |peers: &[Peer], name: &str| peers.iter().any(|p| p.name == name);
        match server {
            None if has(&config.servers, name) => Ok((Role::Server, name.to_owned())),
            None => Err(Refusal::NotYourRole("server".into())),
            Some(_) if !has(&config.clients, name) => Err(Refusal::NotYourRole("client".into())),
            Some(server) if has(&config.servers, &server) => Ok((Role::Client, server)),
            Some(server) => Err(Refusal::Unknown(format!("the server `{server}`"))),
        }
    }

    fn find(
        &self,
        role: Role,
        server: String,
        plan: PlanHash,
        epoch: Epoch,
    ) -> Result<Supply, Refusal> {
        let ledgers = self.ledgers.lock().unwrap_or_else(|e| e.into_inner());
        let ledger = ledgers.get(&server).cloned();
        drop(ledgers);
        let ledger = ledger.ok_or_else(|| Refusal::Unknown(format!("the server `{server}`")))?;
        let models = self.models.lock().unwrap_or_else(|e| e.into_inner());
        match models.find(&server, &epoch).filter(|model| model.hash == plan).map(Arc::clone) {
            Some(model) => {
                let corrected = self.corrected;
                let held = (role == Role::Server).then(|| Arc::clone(&model.held));
                Ok(Supply { role, server, model, corrected, ledger, _held: held })
            }
            None if models.knows(&server, &plan) => Err(Refusal::Stale),
            None => Err(Refusal::NotAnnounced {
                server: format!("server `{server}`"),
                plan: short(&plan),
            }),
        }
    }

    fn register(
        &self,
        server: &str,
        (card, length): (&Card, Option<Length>),
        plan: PlanHash,
        commitment: &[u8; 32],
    ) -> Result<Arc<Registered>, Refusal> {
        if !self.config().servers.iter().any(|p| p.name == server) {
            return Err(Refusal::NotYourRole("server".into()));
        }
        let private = card.trace(length).map_err(|e| Refusal::Card(e.to_string()))?;
        let own = private.plan.hash();
        if own != plan {
            return Err(Refusal::OtherPlan { ours: short(&own), yours: short(&plan) });
        }
        // Bound to the matrices: others must never meet the same masks, nor their batches.
        let epoch = seeds::epoch(&self.master, server, commitment, &plan);
        // One for plans of all lengths: they have the same matrices.
        let weights = private.plan.weights_hash();
        let masks = seeds::epoch(&self.master, server, commitment, &weights);
        let seed = seeds::setup_seed(&self.master, server, commitment, &weights);
        let lock = || self.models.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = lock().find(server, &epoch) {
            known.touch();
            return Ok(Arc::clone(known));
        }
        // One at a time, and nobody else waits for it.
        let _one = self.setups.lock().unwrap_or_else(|e| e.into_inner());
        let mut models = lock();
        if let Some(known) = models.find(server, &epoch) {
            return Ok(Arc::clone(known));
        }
        if !models.has_room(server, masks, &private.plan) {
            return Err(Refusal::TooManyPlans);
        }
        let setup = models.setup(server, &masks);
        drop(models);
        let setup = setup.unwrap_or_else(|| Arc::new(SetupMasks::expand(&private.plan, &seed)));
        tracing::info!("{server} announced plan {}", short(&plan));
        let model = Registered {
            plan: private.plan,
            hash: plan,
            setup,
            epoch,
            masks,
            seed,
            over: AtomicBool::new(false),
            held: Arc::default(),
            since: Mutex::new(Instant::now()),
        };
        Ok(lock().insert(server, model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thief of the dealer's memory has its master secret: past batches must not follow from it.
    #[test]
    fn no_batch_follows_from_a_secret_that_the_dealer_keeps() {
        let text = r#"
            clients = []
            [own]
            name = "dealer"
            keys = "."
            [[servers]]
            name = "server"
            certificate = "server.cert"
        "#;
        let config: DealerConfig = toml::from_str(text).unwrap();
        let [dealer, other] = [(); 2].map(|()| Dealer::new(&config, &Stop::default()).unwrap());
        let mut guessed = seeds::Chain::new(&dealer.master, "server");
        let epoch = [1; 16];
        for _ in 0..50 {
            let guess = guessed.step();
            let [ours, theirs] = [&dealer, &other].map(|dealer| {
                let ledger = Arc::clone(&dealer.ledgers.lock().unwrap()["server"]);
                let mut ledger = ledger.lock().unwrap();
                let names = ledger.open(epoch);
                (ledger.seeds(names.id, &epoch, Role::Server).unwrap().party, names.ticket)
            });
            assert!(ours.0 != guess.party && *ours.1 != guess.ticket);
            assert!(ours.0 != theirs.0, "no two dealers deal alike");
        }
    }
}
