//! `sotto infer`: the client process.
//!
//! Its images and texts leave it only as masked shares; a text's length is public. It checks that the plan that it traces from the server's card is the
//! server's, and that what it measures is what the plan says.

mod answer;
mod claims;
mod connect;
mod kept;
mod making;
mod numbers;
mod prepare;
mod stream;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

pub use answer::{Answer, Found, Labelled, Query, label, top};
use claims::Claims;
use kept::Kept;
use making::{Making, Shop};
use numbers::Numbers;
use serde::{Deserialize, Serialize};
use sotto_models::{Private, calibration::hex};
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{Role, party::Party, plan::Traffic, weights::Weights};
pub use stream::Stream;

use crate::config::ClientConfig;
use sotto_session::{
    card::Card,
    error::Error,
    lexicon::Lexicon,
    messages::{self, Epoch, Masks, Request, step},
};

/// Measured costs of one evaluation (of a batch of images).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Bytes of masked weights, or of encrypted ones and keys, that came over the connection before; 0 where the client held
    /// them.
    #[serde(default)]
    pub setup_bytes: u64,
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

/// What a client asks for.
#[derive(Clone, Default)]
pub struct Wanted {
    /// Words of each text; `None` for pictures. A connection has one plan.
    pub rows: Option<u32>,
    /// The client's own tokenizer and tables, for texts.
    pub lexicon: Option<Arc<Lexicon>>,
    /// Where masked weights are kept, as the configuration says.
    kept: Option<Arc<Kept>>,
}

impl Wanted {
    /// Inputs of so many rows, with what they are read by.
    pub fn new(rows: Option<u32>, lexicon: Option<Arc<Lexicon>>) -> Self {
        Self { rows, lexicon, kept: None }
    }

    /// With what a configuration in the folder `base` says of kept weights.
    fn configured(self, config: &ClientConfig, base: &Path) -> Result<Self, Error> {
        Ok(Self { kept: Kept::of(config, base)?.map(Arc::new), ..self })
    }
}

/// What a client holds of a server's model, whatever connection it came over.
#[derive(Clone)]
struct Known {
    /// What the server said of it: a stream of results is of one card.
    card: Card,
    weights: Arc<Weights>,
    /// The plans' hash of the matrices, which plans of all lengths share.
    matrices: [u8; 32],
    /// The name of the weights' masks.
    masks: Masks,
    /// Salted hash of the server's matrices.
    model: [u8; 32],
    /// Images that it was calibrated on.
    images: usize,
    /// Which batches of it this process has had.
    numbers: Arc<Mutex<Numbers>>,
    lane: Lane,
}

/// The plan of a connection, and what belongs to it.
#[derive(Clone)]
struct Lane {
    rows: Option<u32>,
    private: Arc<Private>,
    /// Hash of the server's plan.
    plan: [u8; 32],
    epoch: Epoch,
    /// Without a dealer: the link over which batches are made, which outlives the one over which they are used.
    making: Option<Arc<Making>>,
}

impl Known {
    /// The same, for a connection of another length.
    fn without_making(&self) -> Self {
        let lane = Lane { making: None, ..self.lane.clone() };
        Self { lane, ..self.clone() }
    }
}

/// What a connection has from those before it.
#[derive(Default)]
struct Before {
    /// The model, which is not sent again.
    known: Option<Known>,
    /// An epoch that the dealer no longer knows, which is said.
    stale: Option<Epoch>,
    /// A link for making, from texts of another length.
    shop: Option<Shop>,
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
    lexicon: Option<Arc<Lexicon>>,
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
        let wanted = Wanted::default().configured(config, base)?;
        Self::connect_by(config, endpoint, wanted, Before::default(), progress)
    }

    /// The traced model.
    pub fn private(&self) -> &Private {
        &self.known.lane.private
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

    /// Evaluates up to a batch of pictures, or of texts of the connection's length, at once.
    ///
    /// # Errors
    /// [`Error::Net`] and [`Error::Protocol`] when a peer fails, [`Error::Exhausted`] without correlations,
    /// [`Error::Check`] when a measured count is not the plan's.
    pub fn answer(&mut self, queries: &[Query]) -> Result<Vec<Answer>, Error> {
        let Lane { private, rows, .. } = &self.known.lane;
        let (private, rows, batch) = (Arc::clone(private), *rows, private.batch);
        let lexicon = self.lexicon.clone();
        let model = &private.model;
        assert!(queries.len() <= batch, "{} inputs in a batch of {batch}", queries.len());
        assert!(queries.iter().all(|query| query.rows() == rows), "inputs of one length");
        let inputs = queries.iter().map(|query| query.input(model, lexicon.as_deref()));
        let mut inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
        for input in &inputs {
            private.check_input(input)?;
        }
        let size = inputs.first().map_or(0, Vec::len);
        inputs.resize(batch, vec![0.0; size]);
        let inputs = private.encode(&inputs);
        let mut costs = Costs { setup_bytes: self.setup_bytes, ..Costs::default() };
        let output = self.evaluate(&inputs, &mut costs)?;
        let answer = |(query, result): (&Query, Vec<f64>)| Answer {
            name: query.name().to_owned(),
            label: match query {
                Query::Picture(picture) => picture.label,
                Query::Text { .. } => None,
            },
            tokens: rows,
            found: Found::new(model, query, lexicon.as_deref(), result),
            costs: costs.clone(),
            batch,
        };
        Ok(queries.iter().zip(private.decode(&output)).map(answer).collect())
    }

    fn evaluate(&mut self, inputs: &[Vec<i64>], costs: &mut Costs) -> Result<Vec<i64>, Error> {
        let start = Instant::now();
        let (ready, offline_bytes) = self.prepare()?;
        let id = ready.id;
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
    pub fn leave(self) {
        self.end(|making| {
            making.leave();
            None
        });
    }

    /// Says good-bye to the server, but on the link for making, which is for texts of another length.
    fn part(self, rows: Option<u32>) -> Option<Shop> {
        self.end(|making| match rows {
            Some(rows) => making.part(rows),
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
        // What it shares with a stream of results is the stream's to leave.
        drop(self.known);
        let kept = match self.supply {
            Supply::Dealer(_) => None,
            Supply::Peer(making) => Arc::into_inner(making).and_then(last),
        };
        drop(self.endpoint);
        kept
    }
}
