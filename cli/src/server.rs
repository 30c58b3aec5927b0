//! `sotto serve`: the server process.
//!
//! It owns the weights. A client learns the model's public description, the masked weights (uniform), and the
//! result; the server learns which client asks and how often.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use sotto_models::calibration::hex;
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{
    Role,
    party::Party,
    plan::Plan,
    weights::{SetupMasks, Weights, setup_message},
};

use crate::{
    card::{Card, short},
    config::{Peer, RevealConfig, ServerConfig},
    dealer::accept,
    error::Error,
    messages::{self, ClientHello, Epoch, Reply, Request, ServerWelcome, VERSION, step},
    model::Model,
    peers,
    supply::{Supply, Terms},
};

/// How long the dealer is waited for when the weights were masked before.
const KNOWN: Duration = Duration::from_secs(2);

struct Server {
    endpoint: Arc<Endpoint>,
    dealer: Peer,
    card: Card,
    model_hash: String,
    plan: Arc<Plan>,
    plan_hash: [u8; 32],
    weights: Arc<Weights>,
    masked: Mutex<Option<(Epoch, Arc<Vec<u8>>)>>,
    pool: usize,
    folder: Option<std::path::PathBuf>,
    deadline: Duration,
}

/// Runs the server until the process is stopped; `ready` is called with the bound address.
///
/// # Errors
/// [`Error::Config`], [`Error::Model`] and [`Error::Net`] when it cannot start.
pub fn run(
    config: &ServerConfig,
    base: &Path,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<(), Error> {
    let named = Model::is_named(&config.model);
    let model = Model::find(&if named { config.model.clone() } else { base.join(&config.model) })?;
    let card = Card {
        arch: model.arch.to_toml(),
        calibration: model.calibration.to_toml(),
        batch: config.batch,
        public_max: config.public_max,
        class_only: config.reveal == RevealConfig::Class,
        row_tables: config.row_tables,
    };
    let private = card.trace()?;
    let matrices = private.matrices(&model.weights);
    let mut peers = vec![&config.dealer];
    peers.extend(&config.clients);
    let endpoint = Arc::new(config.own.bind(base, &peers)?);
    let server = Server {
        endpoint: Arc::clone(&endpoint),
        dealer: config.dealer.clone(),
        card,
        model_hash: hex(&model.weights.hash()),
        plan_hash: private.plan.hash(),
        plan: private.plan,
        weights: Arc::new(Weights::Plain(matrices)),
        masked: Mutex::default(),
        pool: config.pool,
        folder: config.pool_folder.as_ref().map(|f| base.join(f)),
        deadline: config.own.deadline(),
    };
    ready(endpoint.local_addr());
    accept(&endpoint, &Arc::new(move |link| server.attend(link)))
}

impl Server {
    /// How long the dealer is waited for while a client waits: it must hear of a failure within its own deadline.
    fn patience(&self) -> Duration {
        self.deadline / 2
    }

    fn attend(&self, mut link: QuicLink) {
        link.set_deadline(self.deadline);
        let peer = link.peer().to_owned();
        match self.converse(&mut link) {
            Ok(()) => tracing::info!("{peer} has finished"),
            Err(e) => tracing::warn!("{peer}: {e}; the batch in use, if any, is burnt"),
        }
    }

    fn converse(&self, link: &mut QuicLink) -> Result<(), Error> {
        let hello: ClientHello = messages::recv(link, step::HELLO)?;
        let refusal = match (&hello.model, hello.version) {
            (_, v) if v != VERSION => {
                Some(format!("it speaks version {VERSION}, you {v}; run the same version of sotto"))
            }
            (Some(m), _) if *m != self.model_hash => Some(format!(
                "it serves model {}, you ask for {m}; correct `model` in the client's configuration",
                self.model_hash
            )),
            _ => None,
        };
        if let Some(why) = refusal {
            messages::send(link, step::WELCOME, &ServerWelcome::Refused(why))?;
            return Ok(link.finish()?);
        }
        let (epoch, setup) = match self.setup() {
            Ok(both) => both,
            Err(e) => {
                let why = format!("it has no dealer: {e}");
                messages::send(link, step::WELCOME, &ServerWelcome::Refused(why))?;
                link.finish()?;
                return Err(e);
            }
        };
        let welcome = ServerWelcome::Card {
            card: self.card.clone(),
            plan: self.plan_hash,
            epoch,
            setup: setup.len() as u64,
        };
        messages::send(link, step::WELCOME, &welcome)?;
        messages::send_bytes(link, step::SETUP, &setup)?;
        let supply = self.supply(link.name(), epoch);
        loop {
            match messages::recv(link, step::REQUEST) {
                Ok(Request::Prepare { from }) => match supply.prepare(from, self.patience()) {
                    Ok((id, offline_bytes)) => {
                        messages::send(link, step::REPLY, &Reply::Prepared { id, offline_bytes })?;
                    }
                    Err(e) => {
                        let refusal = Reply::Refused(e.to_string());
                        messages::send(link, step::REPLY, &refusal)?;
                        if supply.is_stale() && supply.ready() == 0 {
                            return Ok(link.finish()?);
                        }
                    }
                },
                Ok(Request::Infer { id }) => {
                    let ready =
                        supply.take(id, self.patience())?.ok_or_else(|| Error::Refused {
                            peer: link.peer().to_owned(),
                            why: format!("it asks for batch {id}, which is burnt"),
                        })?;
                    let party = Party {
                        role: Role::Server,
                        plan: &self.plan,
                        weights: &self.weights,
                        watch: false,
                    };
                    let done = party.evaluate(link, ready.staged, &[])?;
                    tracing::info!("{}: batch {id}, {} flights", link.peer(), done.traffic.flights);
                }
                Ok(Request::Bye) => return Ok(link.finish()?),
                // An idle client is welcome to stay.
                Err(Error::Net(sotto_net::Error::Deadline { .. })) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The dealer's epoch and the masked weights in it; those of before while the dealer cannot be reached.
    fn setup(&self) -> Result<(Epoch, Arc<Vec<u8>>), Error> {
        use sotto_net::Error::{Deadline, Link};
        let known = self.masked.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let patience = self.patience().min(known.as_ref().map_or(Duration::MAX, |_| KNOWN));
        let answer =
            peers::announce(&self.endpoint, &self.dealer, &self.card, self.plan_hash, patience);
        let (epoch, seed) = match (answer, known) {
            (Ok(both), _) => both,
            (Err(Error::Net(e @ (Link { .. } | Deadline { .. }))), Some(known)) => {
                tracing::warn!("{e}; what waits here is used up first");
                return Ok(known);
            }
            (Err(e), _) => return Err(e),
        };
        let mut masked = self.masked.lock().unwrap_or_else(|e| e.into_inner());
        match &*masked {
            Some((known, message)) if *known == epoch => Ok((epoch, Arc::clone(message))),
            _ => {
                let masks = SetupMasks::expand(&self.plan, &seed);
                let message = Arc::new(setup_message(&self.plan, self.weights.all_plain(), &masks));
                tracing::info!("plan {} set up with the dealer", short(&self.plan_hash));
                *masked = Some((epoch, Arc::clone(&message)));
                Ok((epoch, message))
            }
        }
    }

    fn supply(&self, client: &str, epoch: Epoch) -> Supply {
        let terms = Terms {
            role: Role::Server,
            plan: Arc::clone(&self.plan),
            weights: Arc::clone(&self.weights),
            epoch,
            pool: self.pool,
            folder: self.folder.as_ref().map(|f| f.join(client)),
        };
        let endpoint = Arc::clone(&self.endpoint);
        let (dealer, client, plan) = (self.dealer.clone(), client.to_owned(), self.plan_hash);
        let patience = self.patience();
        let connect = move || peers::batches(&endpoint, &dealer, &client, plan, patience);
        Supply::start(terms, Box::new(connect))
    }
}
