//! `sotto deal`: the dealer process.
//!
//! It sees plans, which are public, and its own randomness; never an input, a weight or an opened value. Every
//! batch number is given to each party of a pair once; a restart begins a new epoch with fresh
//! secrets, so nothing is ever dealt twice.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use sotto_crypto::Seed;
use sotto_models::calibration::hex;
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{
    Role,
    deal::{Seeds, deal},
    plan::Plan,
    weights::SetupMasks,
};

use crate::{
    card::{Card, short},
    config::{CorrectionsConfig, DealerConfig, Peer},
    error::Error,
    messages::{
        self, CHUNK, DealerHello, DealerWelcome, Dealt, Epoch, Next, Secret, VERSION, step,
    },
};

/// How many numbers a party may burn at once.
const MAX_SKIP: u64 = 1 << 20;

/// Plans of one server that are kept.
const MAX_PLANS: usize = 16;

/// A plan that a server announced.
struct Registered {
    plan: Arc<Plan>,
    setup: SetupMasks,
    /// Differs from that of other weights, whose plan may be the same.
    epoch: Epoch,
    seed: Seed,
}

/// Next batch number of each side of a pair.
#[derive(Default)]
struct Pair {
    next: [u64; 2],
}

type PlanHash = [u8; 32];

struct Dealer {
    master: Seed,
    corrected: Role,
    servers: Vec<String>,
    clients: Vec<String>,
    models: Mutex<HashMap<(String, PlanHash), Arc<Registered>>>,
    pairs: Mutex<HashMap<(String, String, PlanHash), Pair>>,
    deadline: Duration,
}

/// Runs the dealer until the process is stopped; `ready` is called with the bound address.
///
/// # Errors
/// [`Error::Config`] and [`Error::Net`] when it cannot start.
pub fn run(
    config: &DealerConfig,
    base: &Path,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<(), Error> {
    let peers: Vec<_> = config.servers.iter().chain(&config.clients).collect();
    let endpoint = config.own.bind(base, &peers)?;
    let names = |peers: &[Peer]| peers.iter().map(|p| p.name.clone()).collect();
    let dealer = Arc::new(Dealer {
        master: Seed::random()?,
        corrected: match config.corrections {
            CorrectionsConfig::Server => Role::Server,
            CorrectionsConfig::Client => Role::Client,
        },
        servers: names(&config.servers),
        clients: names(&config.clients),
        models: Mutex::default(),
        pairs: Mutex::default(),
        deadline: config.own.deadline(),
    });
    ready(endpoint.local_addr());
    accept(&endpoint, &Arc::new(move |link| dealer.attend(link)))
}

/// Accepts links for ever, each attended in a thread of its own; a refused or failed handshake is logged and does
/// not stop us.
///
/// # Errors
/// The endpoint's, when it is closed.
pub fn accept(
    endpoint: &Endpoint,
    attend: &Arc<impl Fn(QuicLink) + Send + Sync + 'static>,
) -> Result<(), Error> {
    loop {
        match endpoint.accept(Duration::from_secs(3600)) {
            Ok(link) => {
                let (peer, attend) = (link.peer().to_owned(), Arc::clone(attend));
                if let Err(e) = thread::Builder::new().spawn(move || attend(link)) {
                    tracing::warn!("{peer} is turned away, no thread can be started: {e}");
                }
            }
            Err(sotto_net::Error::Deadline { .. }) => {}
            Err(e @ sotto_net::Error::Identity { .. }) => tracing::warn!("refused: {e}"),
            Err(e) => return Err(e.into()),
        }
    }
}

impl Dealer {
    fn attend(&self, mut link: QuicLink) {
        link.set_deadline(self.deadline);
        let peer = link.peer().to_owned();
        match self.converse(&mut link) {
            Ok(()) => {}
            Err(Error::Net(sotto_net::Error::Link { .. })) => tracing::info!("{peer} has left"),
            Err(e) => tracing::warn!("{peer}: {e}"),
        }
    }

    fn converse(&self, link: &mut QuicLink) -> Result<(), Error> {
        let name = link.name().to_owned();
        let is_server = self.servers.contains(&name);
        match messages::recv(link, step::HELLO)? {
            DealerHello::Server { version, card, plan } => {
                let answer = match (is_server, version) {
                    (false, _) => Err("only a server announces a model".to_owned()),
                    (_, v) if v != VERSION => Err(format!("it speaks version {VERSION}, not {v}")),
                    _ => self.register(&name, &card, plan),
                };
                let answer = match answer {
                    Ok(known) => DealerWelcome::Setup {
                        epoch: known.epoch,
                        seed: Secret::new(*known.seed.expose()),
                    },
                    Err(why) => DealerWelcome::Refused(why),
                };
                messages::send(link, step::WELCOME, &answer)?;
                Ok(link.finish()?)
            }
            DealerHello::Batches { version, peer, plan } => {
                let (server, client) = match is_server {
                    true => (name, peer),
                    false => (peer, name),
                };
                let key = (server.clone(), plan);
                let model =
                    self.models.lock().unwrap_or_else(|e| e.into_inner()).get(&key).cloned();
                let refusal = match (&model, version) {
                    (_, v) if v != VERSION => Some(format!("it speaks version {VERSION}, not {v}")),
                    _ if !self.servers.contains(&server) || !self.clients.contains(&client) => {
                        Some(
                            "it does not know both server and client; add them to its lists".into(),
                        )
                    }
                    (None, _) => Some(format!(
                        "server `{server}` has not announced plan {}; start the server first",
                        short(&plan)
                    )),
                    _ => None,
                };
                if let (Some(model), None) = (model, &refusal) {
                    let ready = DealerWelcome::Ready { epoch: model.epoch };
                    messages::send(link, step::WELCOME, &ready)?;
                    let role = if is_server { Role::Server } else { Role::Client };
                    return self.supply(link, role, &model, (server, client, plan));
                }
                let refusal = DealerWelcome::Refused(refusal.unwrap_or_default());
                messages::send(link, step::WELCOME, &refusal)?;
                Ok(link.finish()?)
            }
        }
    }

    fn register(
        &self,
        server: &str,
        card: &Card,
        plan: PlanHash,
    ) -> Result<Arc<Registered>, String> {
        let private = card.trace().map_err(|e| format!("its model is not usable: {e}"))?;
        let own = private.plan.hash();
        if own != plan {
            return Err(format!(
                "it traces plan {}, the server {}; run the same version of sotto everywhere",
                short(&own),
                short(&plan)
            ));
        }
        // Bound to the weights: other weights must never meet the same masks, nor their batches.
        let weights = card.weights_hash().map_err(|e| e.to_string())?;
        let name = format!("{server} {weights} {}", hex(&plan));
        let seed = self.master.derive(&format!("setup {name}"), 0);
        let public = self.master.derive(&format!("epoch {name}"), 0);
        let epoch = public.expose()[..16].try_into().expect("16 of 32 bytes");
        let mut models = self.models.lock().unwrap_or_else(|e| e.into_inner());
        let key = (server.to_owned(), plan);
        if let Some(known) = models.get(&key).filter(|known| known.epoch == epoch) {
            return Ok(Arc::clone(known));
        }
        let others = models.keys().filter(|(s, p)| s == server && *p != plan).count();
        if others >= MAX_PLANS {
            return Err(format!("it keeps {MAX_PLANS} plans of a server; restart it"));
        }
        let setup = SetupMasks::expand(&private.plan, &seed);
        tracing::info!("{server} announced plan {}", short(&plan));
        let known = Arc::new(Registered { plan: private.plan, setup, epoch, seed });
        models.insert(key, Arc::clone(&known));
        Ok(known)
    }

    /// Gives batches to one side of a pair, each when it is asked for.
    fn supply(
        &self,
        link: &mut QuicLink,
        role: Role,
        model: &Registered,
        pair: (String, String, PlanHash),
    ) -> Result<(), Error> {
        let name = format!("pair {} {} {}", pair.0, pair.1, short(&pair.2));
        let secret = self.master.derive(&name, 0);
        loop {
            let from = match messages::recv(link, step::REQUEST) {
                Ok(Next { from }) => from,
                // A party with a full pool is silent for as long as it likes.
                Err(Error::Net(sotto_net::Error::Deadline { .. })) => continue,
                Err(e) => return Err(e),
            };
            let id = {
                let mut pairs = self.pairs.lock().unwrap_or_else(|e| e.into_inner());
                let next = &mut pairs.entry(pair.clone()).or_default().next[role.index()];
                let id = from.max(*next);
                let near = id - *next <= MAX_SKIP;
                if near {
                    *next = id + 1;
                }
                near.then_some(id).ok_or(*next)
            };
            let id = match id {
                Ok(id) => id,
                Err(next) => {
                    let why = format!("batch {from} is too far from {next}, the next one");
                    messages::send(link, step::REPLY, &Dealt::Refused(why))?;
                    continue;
                }
            };
            self.give(link, role, model, &secret, id)?;
        }
    }

    fn give(
        &self,
        link: &mut QuicLink,
        role: Role,
        model: &Registered,
        secret: &Seed,
        id: u64,
    ) -> Result<(), Error> {
        let seeds = Seeds {
            party: [secret.derive("server", id), secret.derive("client", id)],
            corrected: self.corrected,
        };
        let corrected = role == self.corrected;
        let header = Dealt::Batch {
            id,
            seed: Secret::new(*seeds.party[role.index()].expose()),
            corrections: if corrected { model.plan.correction_bytes() as u64 } else { 0 },
        };
        messages::send(link, step::REPLY, &header)?;
        if !corrected {
            return Ok(());
        }
        let mut piece = Vec::with_capacity(CHUNK);
        deal(&model.plan, &seeds, &model.setup, |bytes| -> Result<(), Error> {
            let mut rest = &bytes[..];
            while piece.len() + rest.len() >= CHUNK {
                let (head, tail) = rest.split_at(CHUNK - piece.len());
                piece.extend_from_slice(head);
                let full = std::mem::replace(&mut piece, Vec::with_capacity(CHUNK));
                link.send(step::CORRECTIONS, full)?;
                rest = tail;
            }
            piece.extend_from_slice(rest);
            Ok(())
        })?;
        if !piece.is_empty() {
            link.send(step::CORRECTIONS, piece)?;
        }
        Ok(())
    }
}
