//! Running a plan inside one process: both parties, the dealer and the simulator, for tests and
//! benchmarks of gates.

use sotto_crypto::{Seed, Stream};

use crate::{
    deal::{Known, Seeds},
    local::Local,
    observer::Observer,
    party::Value,
    plan::{Node, Plan, Traffic},
    simulate::{Coins, Simulation, reduce},
    spec::{Kind, Role, Wire},
    weights::Matrix,
};

pub mod made;

/// Who makes the correlations of a run.
#[derive(Clone, Copy)]
enum Source {
    Dealer,
    Parties,
}

/// A source of test inputs with a printed seed.
pub struct Bench {
    stream: Stream,
    seed: Seed,
}

/// What a run inside one process gave.
pub struct Outcome<'a> {
    plan: &'a Plan,
    weights: Vec<Matrix>,
    /// The plan's outputs.
    pub outputs: Vec<Vec<i64>>,
    /// What each party measured: server, client.
    pub traffic: [Traffic; 2],
    /// Bytes of corrections.
    pub correction_bytes: usize,
    seeds: Seeds,
    known: Vec<Known>,
    values: [Vec<Option<Value>>; 2],
}

/// Everything that an observer of one side can see.
pub struct Record {
    /// What a party has had of each wire.
    pub values: Vec<Option<Value>>,
    /// What the dealer has known of each wire.
    pub known: Vec<Known>,
    /// A party's messages: their levels and bytes.
    pub sent: Vec<(u32, Vec<u8>)>,
}

impl Record {
    /// Of no wire yet.
    pub fn new(plan: &Plan) -> Self {
        let wires = plan.wires.len();
        Self { values: vec![None; wires], known: vec![Known::Nothing; wires], sent: Vec::new() }
    }
}

impl Observer for Record {
    fn knows(&mut self, wire: Wire, known: &Known) {
        self.known[wire.index()] = known.clone();
    }

    fn wrote(&mut self, wire: Wire, value: &Value) {
        self.values[wire.index()] = Some(value.clone());
    }

    fn sends(&mut self, level: usize, message: &[u8]) {
        if !message.is_empty() {
            self.sent.push((level as u32, message.to_vec()));
        }
    }
}

impl Bench {
    /// Randomness from `seed`, which a failing test prints by its name.
    pub fn new(seed: u64) -> Self {
        let seed = Seed::from_bytes([9; 32]).derive("bench", seed);
        Self { stream: seed.stream(0), seed }
    }

    /// `count` signed numbers of `bits` bits.
    pub fn signed(&mut self, count: usize, bits: u32) -> Vec<i64> {
        let word = |_| sotto_ring::signed(self.stream.word(), bits);
        (0..count).map(word).collect()
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        self.stream.unit()
    }

    /// Runs with the client's plain inputs.
    pub fn run<'a>(
        &mut self,
        plan: &'a Plan,
        weights: Vec<Matrix>,
        inputs: &[Vec<i64>],
    ) -> Outcome<'a> {
        let zeros: Vec<Vec<i64>> = inputs.iter().map(|v| vec![0; v.len()]).collect();
        self.evaluate(plan, weights, [zeros, inputs.to_vec()], Source::Dealer)
    }

    /// Runs with inputs that are freshly shared between both parties, so that shares are uniform from the
    /// start.
    pub fn run_shared<'a>(
        &mut self,
        plan: &'a Plan,
        weights: Vec<Matrix>,
        inputs: &[Vec<i64>],
    ) -> Outcome<'a> {
        self.shared(plan, weights, inputs, Source::Dealer)
    }

    /// [`Bench::run_shared`] on correlations that the parties made by themselves, which are held against dealing's relations
    /// (those of matrices are dealt).
    pub fn run_made<'a>(
        &mut self,
        plan: &'a Plan,
        weights: Vec<Matrix>,
        inputs: &[Vec<i64>],
    ) -> Outcome<'a> {
        self.shared(plan, weights, inputs, Source::Parties)
    }

    /// [`Bench::run_shared`], then [`Bench::run_made`].
    pub fn run_sources<'a>(
        &mut self,
        plan: &'a Plan,
        weights: Vec<Matrix>,
        inputs: &[Vec<i64>],
    ) -> [Outcome<'a>; 2] {
        let dealt = self.run_shared(plan, weights.clone(), inputs);
        [dealt, self.run_made(plan, weights, inputs)]
    }

    fn shared<'a>(
        &mut self,
        plan: &'a Plan,
        weights: Vec<Matrix>,
        inputs: &[Vec<i64>],
        source: Source,
    ) -> Outcome<'a> {
        let mut random = |v: &Vec<i64>| v.iter().map(|_| self.stream.word() as i64).collect();
        let server: Vec<Vec<i64>> = inputs.iter().map(&mut random).collect();
        let client = inputs.iter().zip(&server).map(|(x, s)| {
            let pairs = x.iter().zip(s);
            pairs.map(|(x, s)| x.wrapping_sub(*s)).collect()
        });
        let client = client.collect();
        self.evaluate(plan, weights, [server, client], source)
    }

    fn evaluate<'a>(
        &mut self,
        plan: &'a Plan,
        matrices: Vec<Matrix>,
        shares: [Vec<Vec<i64>>; 2],
        source: Source,
    ) -> Outcome<'a> {
        // Alternate who is corrected, so that tests cover both.
        let corrected = match self.stream.word() & 1 {
            0 => Role::Server,
            _ => Role::Client,
        };
        let local = Local::new(plan, matrices.clone(), &self.seed).expect("the plan's matrices");
        let seeds = local.seeds(0, corrected);
        let [mut dealer, mut at_server, mut at_client] = [(); 3].map(|()| Record::new(plan));
        let batches = match source {
            Source::Dealer => local.deal_observed(0, &seeds, &mut dealer),
            Source::Parties => made::made_batches(plan, 0, &seeds, local.masks(), &mut dealer)
                .expect("every gate can be made"),
        };
        let corrections = batches.iter().filter_map(|b| b.corrections.as_ref());
        let correction_bytes = corrections.map(Vec::len).max().unwrap_or(0);
        let [server, client] = local
            .evaluate_observed(batches, [&shares[0], &shares[1]], [&mut at_server, &mut at_client])
            .expect("the plan's own batch and inputs");
        Outcome {
            plan,
            weights: matrices,
            outputs: client.outputs,
            traffic: [server.traffic, client.traffic],
            correction_bytes,
            seeds,
            known: dealer.known,
            values: [at_server.values, at_client.values],
        }
    }
}

impl Outcome<'_> {
    /// The clear value of every wire, from both parties' parts and the dealer's knowledge.
    pub fn clear(&self) -> Vec<Vec<i64>> {
        (0..self.plan.wires.len()).map(|w| self.clear_wire(w)).collect()
    }

    fn clear_wire(&self, w: usize) -> Vec<i64> {
        let spec = &self.plan.wires[w];
        let [Some(a), Some(b)] = [&self.values[0][w], &self.values[1][w]] else {
            panic!("wire {w} was not written");
        };
        let values: Vec<u64> = match (a, b) {
            (Value::Share(a), Value::Share(b)) => {
                a.iter().zip(b).map(|(a, b)| a.wrapping_add(*b)).collect()
            }
            // A revealed value is known to the client alone and has no mask.
            (Value::Opened(..), Value::Opened(c, _)) => match (&self.known[w], &spec.kind) {
                (Known::Mask(r), Kind::Opened { offset, .. }) => (c.iter().zip(r))
                    .map(|(c, r)| c.wrapping_sub(*r).wrapping_sub(*offset))
                    .collect(),
                (_, Kind::Opened { offset, .. }) => {
                    c.iter().map(|c| c.wrapping_sub(*offset)).collect()
                }
                _ => panic!("an opened value of another kind"),
            },
            (Value::Form { publics: p, .. }, Value::Form { .. }) => {
                let Known::Form(d) = &self.known[w] else {
                    panic!("a form that the dealer does not know")
                };
                let mut sum = vec![0u64; spec.count()];
                for (p, d) in p.iter().zip(d) {
                    let p = p.as_ref().map(|p| p.to_words());
                    for (i, s) in sum.iter_mut().enumerate() {
                        let p = p.as_ref().map_or(1, |p: &Vec<u64>| p[i]);
                        let d = d.as_ref().map_or(1, |d| d[i]);
                        *s = s.wrapping_add(p.wrapping_mul(d));
                    }
                }
                sum
            }
            _ => panic!("wire {w}: the parties hold different kinds"),
        };
        values.into_iter().map(|x| reduce(spec, x as i64)).collect()
    }

    /// Holds every node against the simulator, exactly: with the batch's masks replayed, each element
    /// must be what one of the coins gives. Also holds measured against planned costs.
    ///
    /// # Panics
    /// Where they differ, naming gate and element.
    pub fn check_exact(&self) {
        let planned = self.plan.online();
        assert_eq!(self.traffic[0], planned, "server measured, planned");
        assert_eq!(self.traffic[1], planned, "client measured, planned");
        assert_eq!(self.correction_bytes, self.plan.correction_bytes(), "corrections");
        let clear = self.clear();
        for (index, node) in self.plan.nodes.iter().enumerate() {
            let candidates: Vec<Vec<i64>> =
                (0..4).map(|coin| self.simulate_node(index, coin, &clear)).collect();
            let w = node.outputs[0];
            let spec = &self.plan.wires[w.index()];
            for (i, got) in clear[w.index()].iter().enumerate() {
                assert!(
                    candidates.iter().any(|c| reduce(spec, c[i]) == *got),
                    "node {index} ({}), element {i}: private {got}, simulator {:?}",
                    node.gate.name(),
                    candidates.iter().map(|c| reduce(spec, c[i])).collect::<Vec<_>>()
                );
            }
        }
    }

    fn simulate_node(&self, index: usize, coin: u8, clear: &[Vec<i64>]) -> Vec<i64> {
        let mut coins = Coins::Fixed { up: coin & 1 == 1, negative: coin & 2 == 2 };
        let Node { gate, inputs, .. } = &self.plan.nodes[index];
        let values = inputs.iter().map(|w| &clear[w.index()][..]).collect();
        let mut sim = Simulation::new(values, &mut coins, &self.weights);
        sim.known = inputs.iter().map(|w| Some(&self.known[w.index()])).collect();
        sim.batch = Some((&self.seeds, index));
        gate.simulate(&mut sim);
        sim.into_outputs().swap_remove(0)
    }
}
