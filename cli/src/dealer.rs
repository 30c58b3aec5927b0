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
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{
    Role,
    deal::{Seeds, deal},
    plan::Plan,
    weights::SetupMasks,
};

use crate::{
    card::short,
    config::{CorrectionsConfig, DealerConfig},
    error::Error,
    messages::{self, BatchHeader, CHUNK, DealerHello, DealerWelcome, Epoch, Next, VERSION, step},
};

/// A plan that a server announced.
struct Registered {
    plan: Arc<Plan>,
    setup: SetupMasks,
}

/// Next batch number of each side of a pair.
#[derive(Default)]
struct Pair {
    next: [u64; 2],
}

type PlanHash = [u8; 32];

struct Dealer {
    master: Seed,
    epoch: Epoch,
    corrected: Role,
    servers: Vec<String>,
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
    let master = Seed::random()?;
    let public = master.derive("epoch", 0);
    let dealer = Arc::new(Dealer {
        epoch: public.expose()[..16].try_into().expect("16 of 32 bytes"),
        master,
        corrected: match config.corrections {
            CorrectionsConfig::Server => Role::Server,
            CorrectionsConfig::Client => Role::Client,
        },
        servers: config.servers.iter().map(|p| p.name.clone()).collect(),
        models: Mutex::default(),
        pairs: Mutex::default(),
        deadline: config.own.deadline(),
    });
    ready(endpoint.local_addr());
    accept(&endpoint, |link| {
        let dealer = Arc::clone(&dealer);
        thread::spawn(move || dealer.attend(link));
    })
}

/// Accepts links for ever; a refused or failed handshake is logged and does not stop us.
///
/// # Errors
/// The endpoint's, when it is closed.
pub fn accept(endpoint: &Endpoint, mut attend: impl FnMut(QuicLink)) -> Result<(), Error> {
    loop {
        match endpoint.accept(Duration::from_secs(3600)) {
            Ok(link) => attend(link),
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
                    Ok(seed) => {
                        DealerWelcome::Setup { epoch: self.epoch, seed: *seed.expose() }
                    }
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
                let model = self.models.lock().unwrap_or_else(|e| e.into_inner()).get(&key).cloned();
                let refusal = match (&model, version) {
                    (_, v) if v != VERSION => Some(format!("it speaks version {VERSION}, not {v}")),
                    (None, _) => Some(format!(
                        "server `{server}` has not announced plan {}; start the server first",
                        short(&plan)
                    )),
                    _ => None,
                };
                if let (Some(model), None) = (model, &refusal) {
                    let ready = DealerWelcome::Ready { epoch: self.epoch };
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
        card: &crate::card::Card,
        plan: PlanHash,
    ) -> Result<Seed, String> {
        let private = card.trace().map_err(|e| format!("the announced model is not usable: {e}"))?;
        let own = private.plan.hash();
        if own != plan {
            return Err(format!(
                "it traces plan {}, the server {}; run the same version of sotto everywhere",
                short(&own),
                short(&plan)
            ));
        }
        // Bound to the weights: other weights must never meet the same masks.
        let weights = card.weights_hash().map_err(|e| e.to_string())?;
        let seed = (self.master)
            .derive(&format!("setup {server} {weights}"), 0)
            .derive(&short(&plan), 0);
        let mut models = self.models.lock().unwrap_or_else(|e| e.into_inner());
        models.entry((server.to_owned(), plan)).or_insert_with(|| {
            let setup = SetupMasks::expand(&private.plan, &seed);
            tracing::info!("{server} announced plan {}", short(&plan));
            Arc::new(Registered { plan: private.plan, setup })
        });
        Ok(seed)
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
            match messages::recv::<Next>(link, step::REQUEST) {
                Ok(Next) => {}
                // A party with a full pool is silent for as long as it likes.
                Err(Error::Net(sotto_net::Error::Deadline { .. })) => continue,
                Err(e) => return Err(e),
            }
            let id = {
                let mut pairs = self.pairs.lock().unwrap_or_else(|e| e.into_inner());
                let next = &mut pairs.entry(pair.clone()).or_default().next[role.index()];
                *next += 1;
                *next - 1
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
        let header = BatchHeader {
            id,
            seed: *seeds.party[role.index()].expose(),
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
