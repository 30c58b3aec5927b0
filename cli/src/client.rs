//! `sotto infer`: the client process.
//!
//! Its images leave it only as masked shares. It checks that the plan that it traces from the server's card is the
//! server's, and that what it measures is what the plan says.

mod connect;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use sotto_models::{
    Private,
    images::{Picture, normalise},
};
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{
    Role,
    party::Party,
    plan::Traffic,
    weights::{Weights, read_setup},
};

use crate::{
    config::ClientConfig,
    error::Error,
    messages::{self, ClientHello, Reply, Request, ServerWelcome, VERSION, step},
    report::Counts,
    supply::Supply,
};

/// How often a failed evaluation is tried again, each time with a fresh batch.
const TRIES: usize = 3;

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

/// A connected client.
pub struct Client {
    endpoint: Arc<Endpoint>,
    link: QuicLink,
    /// The traced model.
    pub private: Private,
    weights: Arc<Weights>,
    supply: Supply,
    deadline: Duration,
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
        let start = Instant::now();
        let deadline = config.own.deadline();
        let endpoint = Arc::new(config.own.bind(base, &[&config.server, &config.dealer])?);
        let mut link = endpoint.connect(config.server.address()?, &config.server.name, deadline)?;
        link.set_deadline(deadline);
        let hello = ClientHello { version: VERSION, model: config.model.clone() };
        messages::send(&mut link, step::HELLO, &hello)?;
        let (card, theirs, epoch, setup) = match messages::recv(&mut link, step::WELCOME)? {
            ServerWelcome::Card { card, plan, epoch, setup } => (card, plan, epoch, setup),
            ServerWelcome::Refused(why) => {
                return Err(Error::Refused { peer: link.peer().to_owned(), why });
            }
        };
        let private = connect::trace(&card, theirs, link.peer())?;
        let message = connect::receive_setup(&mut link, &private.plan, setup, progress)?;
        let weights = Arc::new(read_setup(&private.plan, &message, link.peer())?);
        let setup_s = start.elapsed().as_secs_f64();
        let supply =
            connect::supply(config, base, &endpoint, &private.plan, theirs, &weights, epoch);
        Ok(Self {
            endpoint,
            link,
            private,
            weights,
            supply,
            deadline,
            setup_bytes: message.len() as u64,
            setup_s,
        })
    }

    /// Classifies up to a batch of pictures in one evaluation.
    ///
    /// # Errors
    /// [`Error::Net`] and [`Error::Protocol`] when a peer fails, [`Error::Exhausted`] without correlations,
    /// [`Error::Check`] when a measured count is not the plan's.
    pub fn classify(&mut self, pictures: &[Picture]) -> Result<Vec<Classified>, Error> {
        let arch = &self.private.arch;
        let batch = self.private.batch;
        let mut images: Vec<Vec<f32>> = pictures.iter().map(|p| normalise(arch, p)).collect();
        for image in &images {
            self.private.check_input(image)?;
        }
        let size = images.first().map_or(0, Vec::len);
        images.resize(batch, vec![0.0; size]);
        let input = self.private.encode(&images);
        let mut costs = Costs::default();
        let output = self.evaluate(input, &mut costs)?;
        let logits = self.private.decode(&output);
        let arch = &self.private.arch;
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
                    class_name: arch.label(class),
                    logits,
                    costs: costs.clone(),
                    batch,
                }
            })
            .collect())
    }

    fn evaluate(&mut self, input: Vec<i64>, costs: &mut Costs) -> Result<Vec<i64>, Error> {
        let start = Instant::now();
        let mut from = self.supply.first(self.deadline)?;
        let mut tries = 0;
        let (id, server_bytes, ready) = loop {
            messages::send(&mut self.link, step::REQUEST, &Request::Prepare { from })?;
            let reply = messages::recv(&mut self.link, step::REPLY)?;
            let (id, bytes) = match reply {
                Reply::Prepared { id, offline_bytes } => (id, offline_bytes),
                Reply::Refused(why) => {
                    return Err(Error::Refused { peer: self.link.peer().to_owned(), why });
                }
            };
            if let Some(ready) = self.supply.take(id, self.deadline)? {
                break (id, bytes, ready);
            }
            // The server held a number that we have burnt: ask for ours.
            from = self.supply.first(self.deadline)?;
            tries += 1;
            if tries == TRIES {
                let why = format!("its batch {id} is burnt here, where {from} is the next one");
                return Err(Error::Refused { peer: self.link.peer().to_owned(), why });
            }
        };
        costs.offline_bytes = server_bytes + ready.bytes;
        costs.offline_s = start.elapsed().as_secs_f64();
        let planned = Counts::planned(&self.private.plan);
        if costs.offline_bytes != planned.offline_bytes {
            return Err(Error::Check(format!(
                "the parties got {} bytes from the dealer for batch {id}, the plan says {}",
                costs.offline_bytes, planned.offline_bytes
            )));
        }
        let start = Instant::now();
        messages::send(&mut self.link, step::REQUEST, &Request::Infer { id })?;
        let party = Party {
            role: Role::Client,
            plan: &self.private.plan,
            weights: &self.weights,
            watch: false,
        };
        let done = party.evaluate(&mut self.link, ready.staged, &[input])?;
        tracing::info!("batch {id} used");
        costs.online_s = start.elapsed().as_secs_f64();
        let Traffic { from_server, from_client, flights } = done.traffic;
        (costs.from_server, costs.from_client, costs.flights) = (from_server, from_client, flights);
        let planned = self.private.plan.online();
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
        self.supply.ready()
    }

    /// Says good-bye to the server.
    pub fn leave(mut self) {
        let bye = messages::send(&mut self.link, step::REQUEST, &Request::Bye);
        if bye.is_ok() {
            drop(self.link.finish());
        }
        drop(self.supply);
        drop(self.endpoint);
    }
}

/// Classifies all pictures, reconnecting where a party was restarted; `done` gets each evaluation's results.
///
/// # Errors
/// The last failure when an evaluation fails three times in a row; errors that no retry can mend at once.
pub fn run(
    config: &ClientConfig,
    base: &Path,
    load: impl FnOnce(&Private) -> Result<Vec<Picture>, Error>,
    progress: &dyn Fn(u64, u64),
    mut done: impl FnMut(&Client, &[Classified], usize),
) -> Result<Vec<Classified>, Error> {
    let mut client = Client::connect(config, base, progress)?;
    let pictures = load(&client.private)?;
    let mut all = Vec::with_capacity(pictures.len());
    for chunk in pictures.chunks(client.private.batch) {
        let mut tries = 0;
        let results = loop {
            match client.classify(chunk) {
                Ok(results) => break results,
                Err(e) if tries + 1 == TRIES => return Err(e),
                Err(e) if e.is_final() && !client.supply.is_stale() => return Err(e),
                Err(e) => {
                    tries += 1;
                    tracing::warn!("{e}; the batch is burnt, connecting again");
                    drop(client);
                    client = Client::connect(config, base, progress)?;
                }
            }
        };
        done(&client, &results, pictures.len());
        all.extend(results);
    }
    client.leave();
    Ok(all)
}

impl Error {
    fn is_final(&self) -> bool {
        !matches!(self, Error::Net(_) | Error::Protocol(_) | Error::Refused { .. })
    }
}
