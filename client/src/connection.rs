//! A connection to a server.
//!
//! A client's images and texts leave it only as masked shares; a text's length, or its bucket, is public. The client checks that the plan that it traces from the server's card is the
//! server's, and that what it measures is what the plan says.

mod claims;
mod connect;
pub(crate) mod kept;
pub(crate) mod making;
mod numbers;
mod prepare;
mod wake;

use std::{
    borrow::Borrow,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use claims::{Claims, Ready};
use kept::Kept;
use making::{Making, Shop};
use numbers::Numbers;
use sotto_models::{Private, calibration::hex, length::Length};
use sotto_net::{Endpoint, Link, QuicLink, printable};
use sotto_protocols::{Role, party::Party, plan::Traffic, weights::Weights};

use crate::{
    answer::{Answer, Costs, Found, Query},
    config::Config,
};
use sotto_session::{
    card::{Card, of},
    error::Error,
    lexicon::Lexicon,
    longest,
    messages::{self, Epoch, Masks, Request, step},
    shelf::Shelf,
};

/// Longest name of a model in logs (characters): the server says it.
const NAME: usize = 64;

/// What a client holds of a server's model, whatever connection it came over.
#[derive(Clone)]
pub(crate) struct Known {
    /// What the server said of it: a client's results are of one card.
    pub card: Card,
    weights: Arc<Weights>,
    /// The plans' hash of the matrices, which plans of all lengths share.
    matrices: [u8; 32],
    /// The name of the weights' masks.
    masks: Masks,
    /// The model's name at the server.
    name: String,
    /// Salted hash of the server's matrices.
    model: [u8; 32],
    /// Images that it was calibrated on.
    images: usize,
    /// Which batches of it this process has had.
    numbers: Arc<Mutex<Numbers>>,
    pub lane: Lane,
}

/// The plan of a connection, and what belongs to it.
#[derive(Clone)]
pub(crate) struct Lane {
    length: Option<Length>,
    pub private: Arc<Private>,
    /// Hash of the server's plan.
    plan: [u8; 32],
    pub epoch: Epoch,
    /// Without a dealer: the link over which batches are made, which outlives the one over which they are used.
    making: Option<Arc<Making>>,
}

impl Known {
    /// The same, for a connection of another length.
    pub fn without_making(&self) -> Self {
        let lane = Lane { making: None, ..self.lane.clone() };
        Self { lane, ..self.clone() }
    }
}

/// What a client has for its next connection.
#[derive(Default)]
pub(crate) struct Before {
    /// The model, which is not sent again.
    pub known: Option<Known>,
    /// An epoch that the dealer no longer knows, which is said.
    pub stale: Option<Epoch>,
    /// A link for making, from texts of another length.
    pub shop: Option<Shop>,
    /// Where masked weights are kept, as the configuration says.
    pub kept: Option<Arc<Kept>>,
    /// The same of batches that are made with the server.
    pub shelf: Option<Arc<Shelf>>,
    /// Bytes of setups that no evaluation has counted.
    pub uncounted: u64,
}

/// Where a client's batches come from.
enum Supply {
    Dealer(Claims),
    Peer(Arc<Making>),
}

/// A connection of a client, for pictures or for texts of one length. What fails ends it.
pub struct Connection {
    endpoint: Arc<Endpoint>,
    link: QuicLink,
    pub(crate) known: Known,
    lexicon: Option<Arc<Lexicon>>,
    supply: Supply,
    /// A batch that both sides have ready, and the bytes of its offline messages.
    prepared: Option<(Ready, u64)>,
    deadline: Duration,
    /// Batches to have assigned ahead of the evaluation.
    pool: usize,
    /// Evaluations to come, where that is known: no more batches are asked for.
    left: usize,
    /// Bytes of masked weights received.
    pub setup_bytes: u64,
    /// Bytes of setups that no evaluation has counted yet, of this connection and those before it.
    uncounted: u64,
    /// Seconds that the setup took.
    pub setup_s: f64,
}

impl Connection {
    /// Connects to server and dealer, for texts of a `length` or, without, for pictures, and receives the masked weights.
    ///
    /// # Errors
    /// [`Error::Net`] when a peer cannot be reached, [`Error::Refused`] when it will not serve,
    /// [`Error::Check`] when it runs another plan.
    pub fn open(config: &Config, length: Option<Length>) -> Result<Self, Error> {
        let kept = Kept::of(config)?.map(Arc::new);
        let before = Before { kept, shelf: config.shelf()?, ..Before::default() };
        Self::connect(config, Arc::new(config.bind()?), length, before)
    }

    /// The traced model.
    pub fn private(&self) -> &Private {
        &self.known.lane.private
    }

    /// The salted hash of the server's matrices: one model, one hash, for all clients.
    pub fn model(&self) -> String {
        hex(&self.known.model)
    }

    /// The model's name at the server, which may give another model that name later.
    pub fn name(&self) -> &str {
        &self.known.name
    }

    /// Images that the model was calibrated on, as the server says.
    pub fn calibrated_on(&self) -> usize {
        self.known.images
    }

    /// Says how many evaluations are to come, so that no batch is taken in vain.
    pub fn expect(&mut self, evaluations: usize) {
        self.left = evaluations;
    }

    /// Evaluates up to a batch of pictures, or of texts of the connection's length, at once.
    ///
    /// # Panics
    /// For more than a batch, and for inputs of another kind or length than the connection's.
    ///
    /// # Errors
    /// [`Error::Net`] and [`Error::Protocol`] when a peer fails, [`Error::Exhausted`] without correlations,
    /// [`Error::Check`] when a measured count is not the plan's.
    pub fn answer(&mut self, queries: &[impl Borrow<Query>]) -> Result<Vec<Answer>, Error> {
        let queries: Vec<&Query> = queries.iter().map(Borrow::borrow).collect();
        let Lane { private, length, .. } = &self.known.lane;
        let (private, length, batch) = (Arc::clone(private), *length, private.batch);
        let lexicon = self.lexicon.clone();
        let model = &private.model;
        assert!(queries.len() <= batch, "{} inputs in a batch of {batch}", queries.len());
        assert!(queries.iter().all(|query| query.length() == length), "inputs of one length");
        let inputs = queries.iter().map(|query| query.input(model, lexicon.as_deref()));
        let mut inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
        for input in &inputs {
            private.check_input(input)?;
        }
        let own = private.fill(&mut inputs);
        let inputs = private.encode(&inputs);
        let mut costs = Costs { shared_by: queries.len() as u64, ..Costs::default() };
        let output = self.evaluate(&inputs, &mut costs)?;
        let answer = |(place, (query, result)): (usize, (&Query, Vec<f64>))| Answer {
            name: query.name().to_owned(),
            label: match query {
                Query::Picture(picture) => picture.label,
                Query::Text { .. } => None,
            },
            tokens: query.words(),
            bucket: length.filter(|length| length.is_hidden()).map(|length| length.rows() as u32),
            found: Found::new((model, private.reveal), query, lexicon.as_deref(), result),
            costs: costs.part(place),
            batch,
            reveal: private.reveal,
        };
        let results = queries.into_iter().zip(private.decode_rows(&output, &own));
        Ok(results.enumerate().map(answer).collect())
    }

    fn evaluate(&mut self, inputs: &[Vec<i64>], costs: &mut Costs) -> Result<Vec<i64>, Error> {
        let start = Instant::now();
        let making = match &self.supply {
            Supply::Dealer(_) => None,
            Supply::Peer(making) => Some(Arc::clone(making)),
        };
        let _evaluating = making.as_ref().map(|making| making.evaluating());
        let (ready, offline_bytes) = self.prepare()?;
        let id = ready.id;
        costs.waited = ready.waited;
        (costs.offline_bytes, costs.offline_flights) = (offline_bytes, ready.flights);
        costs.offline_s = start.elapsed().as_secs_f64();
        let plan = &self.known.lane.private.plan;
        let planned = match &self.supply {
            Supply::Dealer(_) => plan.cost(),
            Supply::Peer(making) => making.cost,
        };
        if (costs.offline_bytes, costs.offline_flights)
            != (planned.offline_bytes, planned.offline_flights)
        {
            return Err(Error::Check(format!(
                "{} bytes in {} flights were needed for batch {id}, {}, the plan says {} in {}",
                costs.offline_bytes,
                costs.offline_flights,
                self.of(),
                planned.offline_bytes,
                planned.offline_flights
            )));
        }
        let start = Instant::now();
        messages::send(&mut self.link, step::REQUEST, &Request::Infer { id, tag: ready.tag })?;
        let weights = &self.known.weights;
        let party = Party { role: Role::Client, plan, weights };
        self.link.set_longest(Some(longest::evaluation(plan, self.deadline)));
        let done = party.evaluate(&mut self.link, ready.staged, inputs);
        self.link.set_longest(None);
        let done = done.map_err(Error::online(plan))?;
        tracing::info!("batch {id}, {}, used", self.of());
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
        costs.setup_bytes = self.take_setups();
        Ok(done.outputs.into_iter().next().unwrap_or_default())
    }

    /// Bytes of setups that no evaluation has counted yet; the next one does not.
    pub(crate) fn take_setups(&mut self) -> u64 {
        let made = match &self.supply {
            Supply::Dealer(_) => 0,
            Supply::Peer(making) => making.take_setups(),
        };
        made + std::mem::take(&mut self.uncounted)
    }

    /// What stands beside its batches' numbers in logs and errors.
    fn of(&self) -> String {
        let Known { name, lane, .. } = &self.known;
        let epoch = match &self.supply {
            Supply::Dealer(_) => Some(&lane.epoch),
            Supply::Peer(_) => None,
        };
        of(&printable(name, NAME), &lane.plan, epoch)
    }

    /// Batches that are here for later evaluations.
    pub fn ready(&self) -> usize {
        match &self.supply {
            Supply::Dealer(claims) => claims.ready(),
            Supply::Peer(making) => making.ready(),
        }
    }

    /// Batches that wait on the disks of both.
    pub fn waiting(&self) -> usize {
        match &self.supply {
            Supply::Dealer(_) => 0,
            Supply::Peer(making) => making.waiting(),
        }
    }

    /// Makes batches with the server until as many wait on both disks as are to; `told` how many that are, again and again. Gives how many they
    /// are in the end.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no pool on a disk, at the server or here, or a disk is full; [`Error::Net`] and
    /// [`Error::Refused`] of the server.
    pub fn fill(&self, told: &mut dyn FnMut(usize)) -> Result<usize, Error> {
        match &self.supply {
            Supply::Dealer(_) => Err(Error::Config(
                "with a dealer a server fills its pool by itself, and a client has none on its disk".into(),
            )),
            Supply::Peer(making) => making.fill(told),
        }
    }

    /// Says good-bye to the server.
    pub fn leave(self) {
        self.end(|making| {
            making.leave();
            None
        });
    }

    /// Says good-bye to the server, but on the link for making, which is for texts of another length.
    pub(crate) fn part(self, length: Option<Length>) -> Option<Shop> {
        self.end(|making| match length {
            Some(length) => making.part(length),
            None => {
                making.leave();
                None
            }
        })
    }

    fn end(mut self, last: impl FnOnce(Making) -> Option<Shop>) -> Option<Shop> {
        let bye = messages::send(&mut self.link, step::REQUEST, &Request::Bye);
        if bye.is_ok() {
            drop(self.link.finish());
        }
        // What it shares with a client is the client's to leave.
        drop(self.known);
        let kept = match self.supply {
            Supply::Dealer(_) => None,
            Supply::Peer(making) => Arc::into_inner(making).and_then(last),
        };
        drop(self.endpoint);
        kept
    }
}
