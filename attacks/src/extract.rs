//! H3: a client that alters one word of its message to the head's linear layer shifts one input of that layer by a
//! constant, and reads a column of the weights off the logits.
//!
//! Semi-honest protocols allow this. What must hold is the bound: no client learns more of the weights than the bits
//! that are revealed to it, which the server logs, and a quota ends it.

use std::{sync::Arc, time::Duration};

use sotto::{
    config::Peer,
    dealer_link::{Batches, Dealer},
    messages::{self, Request, step},
    refusal::Refusal,
};
use sotto_net::{Endpoint, Link, QuicLink, Traffic};
use sotto_protocols::{
    Role,
    gate::To,
    party::Party,
    plan::{Plan, Step},
};
use sotto_ring::{mask, pack};

use crate::{
    error::Error,
    peer::{self, Greeted},
    process::Process,
    report::Found,
    scene::Scene,
};

/// Unaltered queries whose mean the others are compared with.
const PLAIN: usize = 4;

/// Where the client's words for the head lie on the wire.
#[derive(Clone, Copy)]
struct Place {
    level: usize,
    start: usize,
    count: usize,
    width: u32,
}

impl Place {
    fn of_the_head(plan: &Plan) -> Option<Self> {
        let node = plan.nodes.iter().rposition(|node| node.gate.name() == "linear")?;
        let step = Step { node, round: 0 };
        let level = plan.levels.iter().position(|steps| steps.contains(&step))?;
        let mut start = 0;
        for (from, exchange) in plan.exchanges(level).filter(|(_, e)| e.to != To::Client) {
            if from == node {
                return Some(Self { level, start, count: exchange.count, width: exchange.width });
            }
            start += exchange.bytes();
        }
        None
    }

    fn alter(self, payload: &mut [u8], word: usize, by: u64) {
        let bytes = &mut payload[self.start..][..pack::packed_len(self.count, self.width)];
        let mut words = pack::unpack_vec(bytes, self.width, self.count);
        words[word] = words[word].wrapping_add(by) & mask(self.width);
        let mut altered = Vec::with_capacity(bytes.len());
        pack::pack(&words, self.width, &mut altered);
        bytes.copy_from_slice(&altered);
    }
}

/// A link that adds `by` to one word of one message.
struct Altered<'a> {
    link: &'a mut QuicLink,
    place: Place,
    word: Option<usize>,
    by: u64,
}

impl Link for Altered<'_> {
    fn send(&mut self, step: u32, mut payload: Vec<u8>) -> Result<(), sotto_net::Error> {
        if let Some(word) = self.word.filter(|_| step as usize == self.place.level) {
            self.place.alter(&mut payload, word, self.by);
        }
        self.link.send(step, payload)
    }
    fn room(&mut self, at_most: u64) -> Result<(), sotto_net::Error> {
        self.link.room(at_most)
    }
    fn recv(&mut self, step: u32, len: usize) -> Result<Vec<u8>, sotto_net::Error> {
        self.link.recv(step, len)
    }
    fn recv_upto(&mut self, step: u32, limit: usize) -> Result<Vec<u8>, sotto_net::Error> {
        self.link.recv_upto(step, limit)
    }
    fn set_deadline(&mut self, deadline: Duration) {
        self.link.set_deadline(deadline);
    }
    fn set_longest(&mut self, longest: Option<Duration>) {
        self.link.set_longest(longest);
    }
    fn traffic(&self) -> Traffic {
        self.link.traffic()
    }
    fn peer(&self) -> &str {
        self.link.peer()
    }
    fn finish(&mut self) -> Result<(), sotto_net::Error> {
        self.link.finish()
    }
}

/// A hostile client: its links, and what it was given.
struct Client {
    link: QuicLink,
    batches: Batches,
    greeted: Greeted,
    place: Place,
    /// What it adds, at the input's scale: as much as the logits have room for.
    by: u64,
    logit_width: u32,
}

impl Client {
    fn new(endpoint: &Arc<Endpoint>, server: &Process, dealer: &Process) -> Result<Self, Error> {
        let mut link = peer::connect(endpoint, "server", server)?;
        let greeted = peer::greet(&mut link)?;
        let known = Dealer {
            endpoint: Arc::clone(endpoint),
            peer: Peer {
                name: "dealer".into(),
                certificate: sotto::config::Certificates::One("dealer.cert".into()),
                address: Some(dealer.address.to_string()),
            },
            plan: greeted.plan,
            deadline: peer::WAIT,
        };
        let batches = known.batches(Some("server"), greeted.epoch)?;
        let place = Place::of_the_head(&greeted.private.plan);
        let place = place.ok_or_else(|| Error::scene("the plan has no linear layer"))?;
        let logit_width = greeted.private.format.head.logit_width;
        let by = 1 << (logit_width - 1);
        Ok(Self { link, batches, greeted, place, by, logit_width })
    }

    /// The logits of a grey picture, with one input of the head shifted.
    fn query(&mut self, column: Option<usize>) -> Result<Result<Vec<i64>, Refusal>, Error> {
        let prepared = match peer::prepare(&mut self.link, 0)? {
            Ok(prepared) => prepared,
            Err(why) => return Ok(Err(why)),
        };
        let private = &self.greeted.private;
        let assigned = prepared.assigned.into_iter().next();
        let assigned = assigned.ok_or_else(|| Error::scene("no batch was assigned"))?;
        let (batch, names) = self.batches.claim(assigned, &private.plan)?;
        let weights = &self.greeted.weights;
        let staged = batch.stage(&private.plan, Role::Client, weights)?;
        let infer = Request::Infer { id: prepared.id, tag: names.tag };
        messages::send(&mut self.link, step::REQUEST, &infer)?;
        let pixels =
            private.model.pixels().ok_or_else(|| Error::scene("the model takes no pictures"))?;
        let image = vec![0.0; pixels.numbers()];
        let party = Party { role: Role::Client, plan: &private.plan, weights };
        let link = &mut self.link;
        let mut altered = Altered { link, place: self.place, word: column, by: self.by };
        let done = party.evaluate(&mut altered, staged, &private.encode(&[image]))?;
        Ok(Ok(done.outputs.into_iter().next().unwrap_or_default()))
    }

    /// A weight of a column from the logits, as a number: the shift is `by` times it.
    fn weight(&self, shifted: i64, plain: f64) -> f64 {
        let whole = f64::from(self.logit_width).exp2();
        let difference = (shifted as f64 - plain).rem_euclid(whole);
        let signed = if difference >= whole / 2.0 { difference - whole } else { difference };
        signed / self.by as f64
    }
}

/// Without a quota: the weights come, no faster than the bound that the server logs.
pub fn without_quota(scene: &Scene, columns: usize) -> Result<Found, Error> {
    let dealer = scene.dealer()?;
    let server = scene.server(["", ""], dealer.address, None)?;
    let endpoint = Arc::new(scene.endpoint("client", &["server", "dealer"], &[])?);
    let mut client = Client::new(&endpoint, &server, &dealer)?;
    let columns = columns.min(client.place.count);
    let tried =
        format!("2^{} added to one word a query, {columns} columns of the head", client.by.ilog2());
    let classes = client.greeted.private.model.output.classes();
    let mut plain = vec![0.0; classes];
    for _ in 0..PLAIN {
        let logits = client.query(None)?.map_err(Error::scene)?;
        plain.iter_mut().zip(logits).for_each(|(mean, x)| *mean += x as f64 / PLAIN as f64);
    }
    let head = client.greeted.private.matrices(&scene.model.weights).pop();
    let head = head.ok_or_else(|| Error::scene("the model has no matrices"))?;
    let entries = head.entries().to_words();
    let scale = client.greeted.private.plan.weights.last().map_or(0, |spec| spec.scale);
    let (mut sum, mut worst) = (0.0, 0.0f64);
    for column in 0..columns {
        let logits = client.query(Some(column))?.map_err(Error::scene)?;
        for (class, (&shifted, &plain)) in logits.iter().zip(&plain).enumerate() {
            let fixed = entries[class * client.place.count + column] as i64;
            let error = client.weight(shifted, plain) - fixed as f64 / f64::from(scale).exp2();
            sum += error.abs();
            worst = worst.max(error.abs());
        }
    }
    let (weights, queries) = (classes * columns, columns + PLAIN);
    // Each weight was known to be within 1 of 0, and is known now to be within `worst` of what was found.
    let learnt = weights as f64 * (1.0 / worst.max(1e-9)).log2();
    let bound = client.greeted.private.plan.revealed_bits() * queries as u64;
    let says = format!("at most {bound} bits of the model in {queries} images");
    server.says(&says, 1)?;
    let got = format!(
        "{weights} weights in {queries} queries, mean error {:.1e}, worst {worst:.1e}: {learnt:.0} bits; the server logs \
         \"{says}\"",
        sum / weights as f64
    );
    Ok(Found::bounded(learnt <= bound as f64, tried, got))
}

/// With a quota: so many images, and no more.
pub fn with_quota(scene: &Scene, quota: usize) -> Result<Found, Error> {
    let tried = format!(
        "the same with `quota = {quota}`, over two connections and a restart of the server"
    );
    let dealer = scene.dealer()?;
    let lines = format!("quota = {quota}\n");
    let mut server = scene.server(["", &lines], dealer.address, None)?;
    let endpoint = Arc::new(scene.endpoint("client", &["server", "dealer"], &[])?);
    let mut answered = 0;
    let mut refusals = Vec::new();
    for connection in 0..3 {
        let mut client = Client::new(&endpoint, &server, &dealer)?;
        let tries = if connection == 0 { quota / 2 } else { quota };
        for column in 0..tries {
            match client.query(Some(column % client.place.count))? {
                Ok(_) => answered += 1,
                Err(why) => {
                    refusals.push(why);
                    break;
                }
            }
        }
        if connection == 1 {
            drop(client);
            server.kill();
            server = scene.server(["", &lines], dealer.address, None)?;
        }
    }
    let quota_met = |why: &Refusal| matches!(why, Refusal::Quota { .. });
    let within = answered <= quota && !refusals.is_empty() && refusals.iter().all(quota_met);
    let last = refusals.last().map_or("it is never refused".into(), ToString::to_string);
    Ok(Found::bounded(within, tried, format!("{answered} images; then: {last}")))
}
