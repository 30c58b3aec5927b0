//! `sotto infer`: the client process.
//!
//! Its images leave it only as masked shares. It checks that the plan that it traces from the server's card is the
//! server's, and that what it measures is what the plan says.

mod claims;
mod connect;
mod making;
mod numbers;
mod prepare;
mod stream;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use claims::{Claims, Deal};
use making::Making;
use numbers::Numbers;
use serde::{Deserialize, Serialize};
use sotto_models::{
    Calibration, Model, Private,
    calibration::hex,
    images::{Picture, normalise},
};
use sotto_net::{Endpoint, Link, QuicLink, printable};
use sotto_protocols::{
    Role,
    party::Party,
    plan::Traffic,
    weights::{Weights, read_setup},
};
pub use stream::Stream;

use crate::{
    card::Card,
    config::ClientConfig,
    dealer_link::Dealer,
    error::Error,
    messages::{self, ClientHello, Epoch, Request, ServerWelcome, step},
    refusal::Refusal,
    waiting::Waiting,
};

/// Longest name of a class (characters).
const LABEL: usize = 64;

/// The name of a class, as it may be printed: a server may have written it.
pub fn label(model: &Model, class: usize) -> String {
    printable(&model.label(class), LABEL)
}

/// The first place of a row's largest number.
pub fn top(row: &[f64]) -> usize {
    (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0)
}

/// Measured costs of one evaluation (of a batch of images).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Bytes that server and client received from the dealer; without one, that crossed between them.
    pub offline_bytes: u64,
    /// Sequential message times between the two for it: none with a dealer.
    pub offline_flights: u64,
    /// Seconds from the need of a batch to both parties' being ready; 0 from a filled pool.
    pub offline_s: f64,
    /// Payload bytes from server to client.
    pub from_server: u64,
    /// Payload bytes from client to server.
    pub from_client: u64,
    /// Sequential message times.
    pub flights: u64,
    /// Seconds from the first online byte to the result.
    pub online_s: f64,
}

/// One image's result, a line of the client process with `--json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Classified {
    /// File and position.
    pub name: String,
    /// The true class where the file says it.
    pub label: Option<u8>,
    /// The private top-1 class.
    pub class: usize,
    /// Its name.
    pub class_name: String,
    /// The private logits, or a one-hot where the class alone is revealed.
    pub logits: Vec<f64>,
    /// Costs of the evaluation that this image was part of.
    pub costs: Costs,
    /// Images in that evaluation.
    pub batch: usize,
}

/// What a client holds of a server's model, whatever connection it came over.
#[derive(Clone)]
struct Known {
    /// What the server said of it: a stream of results is of one card.
    card: Card,
    private: Arc<Private>,
    weights: Arc<Weights>,
    /// Hash of the server's plan.
    plan: [u8; 32],
    /// Salted hash of the server's matrices.
    model: [u8; 32],
    /// Images that it was calibrated on.
    images: usize,
    epoch: Epoch,
    /// Which batches of it this process has had.
    numbers: Arc<Mutex<Numbers>>,
    /// Without a dealer: the link over which batches are made, which outlives the one over which they are used.
    making: Option<Arc<Making>>,
}

/// Where a client's batches come from.
enum Supply {
    Dealer(Claims),
    Peer(Arc<Making>),
}

/// A connected client.
pub struct Client {
    endpoint: Arc<Endpoint>,
    link: QuicLink,
    known: Known,
    supply: Supply,
    deadline: Duration,
    /// Batches to have assigned ahead of the evaluation.
    pool: usize,
    /// Evaluations to come, where that is known: no more batches are asked for.
    left: usize,
    /// Bytes of masked weights received.
    pub setup_bytes: u64,
    /// Seconds that the setup took.
    pub setup_s: f64,
}

impl Client {
    /// Connects to server and dealer and receives the masked weights; `progress` is told of each piece.
    ///
    /// # Errors
    /// [`Error::Net`] when a peer cannot be reached, [`Error::Refused`] when it will not serve,
    /// [`Error::Check`] when it runs another plan.
    pub fn connect(
        config: &ClientConfig,
        base: &Path,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Self, Error> {
        let endpoint = Arc::new(config.own.bind(base, &config.dialled()?, &[])?);
        Self::connect_by(config, endpoint, (None, None), progress)
    }

    /// Connects over an endpoint; a model that is `known` is not sent again, an epoch that is `stale` is said to be.
    fn connect_by(
        config: &ClientConfig,
        endpoint: Arc<Endpoint>,
        (known, stale): (Option<Known>, Option<Epoch>),
        progress: &dyn Fn(u64, u64),
    ) -> Result<Self, Error> {
        let start = Instant::now();
        let deadline = config.own.deadline();
        let (server, at) = (&config.server.name, config.server.address()?);
        let waiting = Waiting::until(format!("{server} at {at} to answer"));
        let mut link = endpoint.connect(at, server, deadline)?;
        link.set_deadline(deadline);
        // A stream of results is one model's.
        let model = known.as_ref().map(|known| hex(&known.model)).or(config.model.clone());
        let wanted = model.clone();
        let held = known.as_ref().map(|known| known.epoch);
        messages::send(
            &mut link,
            step::HELLO,
            &ClientHello { model, held, stale, ..ClientHello::new(config.source) },
        )?;
        let (card, plan, model, epoch, setup) = match messages::recv(&mut link, step::WELCOME)? {
            ServerWelcome::Card { card, plan, model, epoch, setup } => {
                (card, plan, model, epoch, setup)
            }
            ServerWelcome::Making(_) => return Err(connect::garbage(&link, step::WELCOME)),
            ServerWelcome::Refused(why) => {
                return Err(Error::Refused { peer: link.peer().to_owned(), why });
            }
        };
        drop(waiting);
        // The server compares `model`, too, but it is the client who insists.
        if let Some(asked) = wanted.filter(|asked| *asked != hex(&model)) {
            let why = Refusal::OtherModel { asked, served: hex(&model) };
            return Err(Error::Refused { peer: link.peer().to_owned(), why });
        }
        if known.as_ref().is_some_and(|known| known.card != card) {
            return Err(Error::Check(format!(
                "{} serves something else than before: begin again",
                link.peer()
            )));
        }
        let dealer = config.source.dealer(&config.dealer)?;
        let (mut known, mut setup_bytes) = match known {
            Some(known) if setup == 0 && (known.epoch, known.plan) == (epoch, plan) => (known, 0),
            _ => {
                let private = Arc::new(connect::trace(&card, plan, link.peer())?);
                config.places(&private.plan)?;
                let images = Calibration::from_toml(&card.calibration)?.images;
                let (weights, bytes) = match dealer {
                    Some(_) => {
                        let message =
                            connect::receive_setup(&mut link, &private.plan, setup, progress)?;
                        let weights = read_setup(&private.plan, &message, link.peer())?;
                        (weights, message.len() as u64)
                    }
                    None => (Weights::Encrypted, 0),
                };
                let weights = Arc::new(weights);
                let numbers = known.map(|known| known.numbers).unwrap_or_default();
                let making = None;
                let known =
                    Known { card, private, weights, plan, model, images, epoch, numbers, making };
                (known, bytes)
            }
        };
        let supply = match dealer {
            Some(dealer) => {
                let dealer = Dealer {
                    endpoint: Arc::clone(&endpoint),
                    peer: dealer.clone(),
                    plan,
                    // A dealer that fell silent is noticed while the evaluation that waits for it can still be saved.
                    deadline: deadline / 2,
                };
                let server = config.server.name.clone();
                let deal = Deal {
                    plan: Arc::clone(&known.private.plan),
                    weights: Arc::clone(&known.weights),
                    server: server.clone(),
                    epoch,
                    numbers: Arc::clone(&known.numbers),
                };
                let connect = Box::new(move || dealer.batches(Some(&server), epoch));
                Supply::Dealer(Claims::start(deal, connect))
            }
            None => {
                let making = match known.making.take().filter(|making| !making.failed()) {
                    Some(making) => making,
                    None => {
                        let made = connect::making(config, &endpoint, &known, progress)?;
                        setup_bytes += made.cost.setup_bytes;
                        Arc::new(made)
                    }
                };
                known.making = Some(Arc::clone(&making));
                Supply::Peer(making)
            }
        };
        // One of the places is for the batch in use.
        let pool = config.pool.min(config.places(&known.private.plan)? - 1);
        Ok(Self {
            endpoint,
            link,
            known,
            supply,
            deadline,
            pool,
            left: usize::MAX,
            setup_bytes,
            setup_s: start.elapsed().as_secs_f64(),
        })
    }

    /// The traced model.
    pub fn private(&self) -> &Private {
        &self.known.private
    }

    /// The salted hash of the server's matrices: one model, one hash, for all clients.
    pub fn model(&self) -> String {
        hex(&self.known.model)
    }

    /// Images that the model was calibrated on, as the server says.
    pub fn calibrated_on(&self) -> usize {
        self.known.images
    }

    /// Says how many evaluations are to come, so that no batch is taken in vain.
    pub fn expect(&mut self, evaluations: usize) {
        self.left = evaluations;
    }

    /// Classifies up to a batch of pictures in one evaluation.
    ///
    /// # Errors
    /// [`Error::Net`] and [`Error::Protocol`] when a peer fails, [`Error::Exhausted`] without correlations,
    /// [`Error::Check`] when a measured count is not the plan's.
    pub fn classify(&mut self, pictures: &[Picture]) -> Result<Vec<Classified>, Error> {
        let private = Arc::clone(&self.known.private);
        let (model, batch) = (&private.model, private.batch);
        let pixels =
            model.pixels().ok_or_else(|| Error::Config(format!("`{}` takes words", model.name)))?;
        assert!(pictures.len() <= batch, "{} pictures in a batch of {batch}", pictures.len());
        let mut images: Vec<Vec<f32>> = pictures.iter().map(|p| normalise(pixels, p)).collect();
        for image in &images {
            private.check_input(image)?;
        }
        let size = images.first().map_or(0, Vec::len);
        images.resize(batch, vec![0.0; size]);
        let inputs = private.encode(&images);
        let mut costs = Costs::default();
        let output = self.evaluate(&inputs, &mut costs)?;
        let logits = private.decode(&output);
        Ok(pictures
            .iter()
            .zip(logits)
            .map(|(picture, logits)| {
                let class = top(&logits);
                Classified {
                    name: picture.name.clone(),
                    label: picture.label,
                    class,
                    class_name: label(model, class),
                    logits,
                    costs: costs.clone(),
                    batch,
                }
            })
            .collect())
    }

    fn evaluate(&mut self, inputs: &[Vec<i64>], costs: &mut Costs) -> Result<Vec<i64>, Error> {
        let start = Instant::now();
        let (ready, offline_bytes) = self.prepare()?;
        let id = ready.id;
        (costs.offline_bytes, costs.offline_flights) = (offline_bytes, ready.flights);
        costs.offline_s = start.elapsed().as_secs_f64();
        let plan = &self.known.private.plan;
        let planned = match &self.supply {
            Supply::Dealer(_) => plan.cost(),
            Supply::Peer(making) => making.cost,
        };
        if (costs.offline_bytes, costs.offline_flights)
            != (planned.offline_bytes, planned.offline_flights)
        {
            return Err(Error::Check(format!(
                "{} bytes in {} flights were needed for batch {id}, the plan says {} in {}",
                costs.offline_bytes,
                costs.offline_flights,
                planned.offline_bytes,
                planned.offline_flights
            )));
        }
        let start = Instant::now();
        messages::send(&mut self.link, step::REQUEST, &Request::Infer { id, tag: ready.tag })?;
        let weights = &self.known.weights;
        let party = Party { role: Role::Client, plan, weights };
        let done = party.evaluate(&mut self.link, ready.staged, inputs);
        let done = done.map_err(Error::online(plan))?;
        tracing::info!("batch {id} used");
        costs.online_s = start.elapsed().as_secs_f64();
        let Traffic { from_server, from_client, flights } = done.traffic;
        (costs.from_server, costs.from_client, costs.flights) = (from_server, from_client, flights);
        let planned = plan.online();
        if done.traffic != planned {
            return Err(Error::Check(format!(
                "measured {:?}, the plan says {planned:?}",
                done.traffic
            )));
        }
        Ok(done.outputs.into_iter().next().unwrap_or_default())
    }

    /// Batches that are here for later evaluations.
    pub fn ready(&self) -> usize {
        match &self.supply {
            Supply::Dealer(claims) => claims.ready(),
            Supply::Peer(making) => making.ready(),
        }
    }

    /// Says good-bye to the server.
    pub fn leave(mut self) {
        let bye = messages::send(&mut self.link, step::REQUEST, &Request::Bye);
        if bye.is_ok() {
            drop(self.link.finish());
        }
        // What it shares with a stream of results is the stream's to leave.
        drop(self.known);
        match self.supply {
            Supply::Dealer(claims) => drop(claims),
            Supply::Peer(making) => {
                if let Some(making) = Arc::into_inner(making) {
                    making.leave();
                }
            }
        }
        drop(self.endpoint);
    }
}
