//! `sotto infer`: the client process.
//!
//! Its images leave it only as masked shares. It checks that the plan that it traces from the server's card is the
//! server's, and that what it measures is what the plan says.

mod claims;
mod connect;
mod stream;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use claims::{Claims, Deal, Ready};
use serde::{Deserialize, Serialize};
use sotto_models::{
    Calibration, Private,
    calibration::hex,
    images::{Picture, normalise},
};
use sotto_net::{Endpoint, Link, QuicLink};
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
    messages::{self, ClientHello, Epoch, Reply, Request, ServerWelcome, Tag, VERSION, step},
    refusal::Refusal,
    waiting::Waiting,
};

/// Batches that a server may assign for one evaluation.
const MOST: usize = 32;

/// Longest that a server lets a client wait for its rate.
const PACED: Duration = Duration::from_secs(60);

/// Measured costs of one evaluation (of a batch of images).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Bytes that server and client received from the dealer.
    pub offline_bytes: u64,
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
}

/// A connected client.
pub struct Client {
    endpoint: Arc<Endpoint>,
    link: QuicLink,
    known: Known,
    claims: Claims,
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
        let dialled = [&config.server, &config.dealer];
        let endpoint = Arc::new(config.own.bind(base, &dialled, &[])?);
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
            &ClientHello { version: VERSION, model, held, stale },
        )?;
        let (card, plan, model, epoch, setup) = match messages::recv(&mut link, step::WELCOME)? {
            ServerWelcome::Card { card, plan, model, epoch, setup } => {
                (card, plan, model, epoch, setup)
            }
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
        let (known, setup_bytes) = match known {
            Some(known) if setup == 0 && (known.epoch, known.plan) == (epoch, plan) => (known, 0),
            _ => {
                let private = Arc::new(connect::trace(&card, plan, link.peer())?);
                let message = connect::receive_setup(&mut link, &private.plan, setup, progress)?;
                let weights = Arc::new(read_setup(&private.plan, &message, link.peer())?);
                let images = Calibration::from_toml(&card.calibration)?.images;
                let known = Known { card, private, weights, plan, model, images, epoch };
                (known, message.len() as u64)
            }
        };
        let dealer = Dealer {
            endpoint: Arc::clone(&endpoint),
            peer: config.dealer.clone(),
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
        };
        let connect = Box::new(move || dealer.batches(Some(&server), epoch));
        let claims = Claims::start(deal, connect);
        Ok(Self {
            endpoint,
            link,
            known,
            claims,
            deadline,
            pool: config.pool,
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
                let class = (0..logits.len())
                    .rev()
                    .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
                    .unwrap_or(0);
                Classified {
                    name: picture.name.clone(),
                    label: picture.label,
                    class,
                    class_name: model.label(class),
                    logits,
                    costs: costs.clone(),
                    batch,
                }
            })
            .collect())
    }

    /// Gets a batch ready on both sides; gives the client's part and the bytes that the server received for its own.
    fn prepare(&mut self) -> Result<(Ready, u64), Error> {
        self.left = self.left.saturating_sub(1);
        let held = self.claims.first();
        let more = self.pool.min(self.left).saturating_sub(self.claims.count().saturating_sub(1));
        let ask = Request::Prepare { held, ahead: more as u32 };
        messages::send(&mut self.link, step::REQUEST, &ask)?;
        let waiting = Waiting::until("the server to have correlated randomness from the dealer");
        let (mut assigned_here, mut last, mut moved) = (0, (0, 0), Instant::now());
        let (id, tag, server_bytes): (u64, Tag, u64) = loop {
            match messages::recv(&mut self.link, step::REPLY)? {
                // A few may fail to come; more than that is not what was asked for.
                Reply::Assigned(assigned) if assigned_here < MOST => {
                    assigned_here += 1;
                    self.claims.add([assigned]);
                }
                Reply::Waiting { got, all }
                    if last != (got, all) || moved.elapsed() < self.deadline =>
                {
                    tracing::debug!("{got} of {all} bytes of corrections");
                    if last != (got, all) {
                        (last, moved) = ((got, all), Instant::now());
                    }
                }
                Reply::Paced { left } if moved.elapsed() < 2 * PACED => {
                    tracing::info!("the server's rate for this client: {left} s to wait");
                }
                Reply::Ready { id, tag, offline_bytes, ahead } if ahead.len() <= more => {
                    self.claims.add(ahead);
                    break (id, tag, offline_bytes);
                }
                Reply::Refused(why) => {
                    return Err(Error::Refused { peer: self.link.peer().to_owned(), why });
                }
                _ => {
                    let (peer, why) =
                        (self.link.peer().to_owned(), "more than was asked for".into());
                    let step = step::REPLY;
                    return Err(Error::Net(sotto_net::Error::Garbage { peer, step, why }));
                }
            }
        };
        drop(waiting);
        loop {
            let ready = self.claims.next(self.deadline)?;
            let ready = ready.ok_or_else(|| {
                Error::Check(format!(
                    "{} says that batch {id} is ours; it is not",
                    self.link.peer()
                ))
            })?;
            // Before the first opening: two different deals would give a wrong class and tell more than masks hide.
            match ready.id == id {
                true if ready.tag == tag => return Ok((ready, server_bytes)),
                true => {
                    return Err(Error::Check(format!(
                        "{} holds another deal of batch {id} than this client: it is burnt",
                        self.link.peer()
                    )));
                }
                // One that the server has burnt.
                false => {}
            }
        }
    }

    fn evaluate(&mut self, inputs: &[Vec<i64>], costs: &mut Costs) -> Result<Vec<i64>, Error> {
        let start = Instant::now();
        let (ready, server_bytes) = self.prepare()?;
        let id = ready.id;
        costs.offline_bytes = server_bytes.saturating_add(ready.bytes);
        costs.offline_s = start.elapsed().as_secs_f64();
        let plan = &self.known.private.plan;
        let planned = plan.cost();
        if costs.offline_bytes != planned.offline_bytes {
            return Err(Error::Check(format!(
                "the parties got {} bytes from the dealer for batch {id}, the plan says {}",
                costs.offline_bytes, planned.offline_bytes
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
        self.claims.ready()
    }

    /// Says good-bye to the server.
    pub fn leave(mut self) {
        let bye = messages::send(&mut self.link, step::REQUEST, &Request::Bye);
        if bye.is_ok() {
            drop(self.link.finish());
        }
        drop(self.claims);
        drop(self.endpoint);
    }
}
