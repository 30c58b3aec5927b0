//! The plan: a model traced once into a static list of gates.
//!
//! Dealer, server, client, simulator and cost report all read this one list. Nodes that do not
//! depend on each other share flights: the plan is levelled, level `l` ends with exchange `l`, and
//! everything that is opened in one level travels in one message each way. A batch of images or
//! a mixture of attention kinds therefore costs no more flights than the deepest of its parts.

use std::sync::Arc;

use crate::{
    draw::Draw,
    encode,
    encode::Encode,
    exchange::{Exchange, To},
    gate::{Gate, check_masks},
    spec::{Role, Spec, Wire},
};

/// A gate with the wires that it reads and writes.
#[derive(Debug)]
pub struct Node {
    /// What is computed.
    pub gate: Arc<dyn Gate>,
    /// Wires read.
    pub inputs: Vec<Wire>,
    /// Wires written.
    pub outputs: Vec<Wire>,
    /// Index into [`Plan::sections`]: the layer of the model that this node belongs to.
    pub section: usize,
}

impl Encode for Node {
    /// The section is a name for people.
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { gate, inputs, outputs, section: _ } = self;
        gate.name().encode(out);
        gate.encode(out);
        (gate.draws(), gate.rounds()).encode(out);
        (inputs, outputs).encode(out);
    }
}

/// One call of one node: the gate's round, in its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the node.
    pub node: usize,
    /// Which of the gate's calls.
    pub round: usize,
}

/// A private matrix of the server, as the plan knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightSpec {
    /// The layer's name.
    pub name: String,
    /// Rows of the matrix: output features.
    pub outputs: usize,
    /// Columns: input features.
    pub inputs: usize,
    /// Ring width in which it is used and masked.
    pub width: u32,
    /// Scale of its entries.
    pub scale: u32,
}

encode!(WeightSpec { name, outputs, inputs, width, scale });

/// A traced model.
#[derive(Debug, Default)]
pub struct Plan {
    /// Gates in an order in which they can be run.
    pub nodes: Vec<Node>,
    /// Specs of all wires.
    pub wires: Vec<Spec>,
    /// The client's inputs.
    pub inputs: Vec<Wire>,
    /// Wires whose value the client learns.
    pub outputs: Vec<Wire>,
    /// Names of the model's layers.
    pub sections: Vec<String>,
    /// The server's matrices.
    pub weights: Vec<WeightSpec>,
    /// Calls, level by level.
    pub levels: Vec<Vec<Step>>,
    /// For each wire, the level and position after which nobody reads it.
    pub(crate) last_use: Vec<usize>,
    /// Each node's draws.
    pub(crate) draws: Vec<Vec<Draw>>,
}

/// Bytes and flights, planned or measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Payload bytes sent by the server to the client.
    pub from_server: u64,
    /// Payload bytes sent by the client to the server.
    pub from_client: u64,
    /// Sequential message times.
    pub flights: u64,
}

impl Plan {
    /// What crosses the network in level `level`, in sending order.
    pub fn exchanges(&self, level: usize) -> impl Iterator<Item = (usize, Exchange)> + '_ {
        self.levels[level].iter().flat_map(|s| {
            let rounds = self.nodes[s.node].gate.rounds();
            rounds.into_iter().nth(s.round).unwrap_or_default().into_iter().map(|e| (s.node, e))
        })
    }

    /// Bytes that `from` sends in level `level`.
    pub fn level_bytes(&self, level: usize, from: Role) -> usize {
        self.exchanges(level).filter(|(_, e)| e.to.sends(from)).map(|(_, e)| e.bytes()).sum()
    }

    /// The online traffic that this plan predicts.
    pub fn online(&self) -> Traffic {
        let mut total = Traffic::default();
        for level in 0..self.levels.len() {
            let server = self.level_bytes(level, Role::Server) as u64;
            let client = self.level_bytes(level, Role::Client) as u64;
            total.from_server += server;
            total.from_client += client;
            total.flights += u64::from(server + client > 0);
        }
        total
    }

    /// Bits that one evaluation reveals to the client: the most that it can tell of the weights, however the client
    /// deviates.
    pub fn revealed_bits(&self) -> u64 {
        let all = (0..self.levels.len()).flat_map(|level| self.exchanges(level));
        let revealed = all.filter(|(_, e)| e.to == To::Client);
        revealed.map(|(_, e)| e.count as u64 * u64::from(e.width)).sum()
    }

    /// Bytes of corrections that the dealer sends for one evaluation.
    pub fn correction_bytes(&self) -> usize {
        let draws = self.draws.iter().flatten();
        draws.map(Draw::correction_bytes).sum()
    }

    /// Bytes of corrections of node `node`.
    pub fn node_correction_bytes(&self, node: usize) -> usize {
        self.draws[node].iter().map(Draw::correction_bytes).sum()
    }

    /// Bytes of the server's masked weights, sent once to each client.
    pub fn setup_bytes(&self) -> usize {
        self.weights
            .iter()
            .map(|w| sotto_ring::pack::packed_len(w.outputs * w.inputs, w.width))
            .sum()
    }

    /// A hash over everything that dealer and parties must agree on; the levels and their order follow from it.
    pub fn hash(&self) -> [u8; 32] {
        let Self {
            nodes,
            wires,
            inputs,
            outputs,
            weights,
            // Names for people, and what follows from the rest.
            sections: _,
            levels: _,
            last_use: _,
            draws: _,
        } = self;
        let mut out = Vec::new();
        nodes.encode(&mut out);
        wires.encode(&mut out);
        (inputs, outputs).encode(&mut out);
        weights.encode(&mut out);
        blake3::derive_key("sottovoce plan 2", &out)
    }

    /// A hash of the server's matrices as the plan knows them: plans of one model for inputs of other lengths share it, and
    /// with it the matrices' masks.
    pub fn weights_hash(&self) -> [u8; 32] {
        let mut out = Vec::new();
        self.weights.encode(&mut out);
        blake3::derive_key("sottovoce plan weights 1", &out)
    }
}

/// Builds a plan; every gate's file adds its own method here.
#[derive(Debug, Default)]
pub struct Trace {
    plan: Plan,
}

impl Trace {
    /// An empty trace.
    pub fn new() -> Self {
        let mut trace = Self::default();
        trace.section("input");
        trace
    }

    /// Names the layer that the following gates belong to.
    pub fn section(&mut self, name: &str) {
        self.plan.sections.push(name.to_owned());
    }

    /// An input that the client alone knows: its share is the value, the server's is zero.
    pub fn input(&mut self, shape: &[usize], width: u32, scale: u32) -> Wire {
        let wire = self.wire(Spec::share(shape, width, scale));
        self.plan.inputs.push(wire);
        wire
    }

    /// Declares a matrix of the server; returns its number.
    pub fn weight(&mut self, spec: WeightSpec) -> usize {
        self.plan.weights.push(spec);
        self.plan.weights.len() - 1
    }

    /// The declared matrix number `id`.
    pub fn weight_spec(&self, id: usize) -> &WeightSpec {
        &self.plan.weights[id]
    }

    /// The spec of a wire.
    pub fn spec(&self, wire: Wire) -> &Spec {
        &self.plan.wires[wire.index()]
    }

    /// Adds a gate of one output.
    ///
    /// # Panics
    /// When its masks are not those of its openings.
    pub fn add(&mut self, gate: impl Gate + 'static, inputs: &[Wire]) -> Wire {
        check_masks(&gate);
        let outputs: Vec<Wire> = gate.outputs().into_iter().map(|s| self.wire(s)).collect();
        assert_eq!(outputs.len(), 1, "{} has one output", gate.name());
        let section = self.plan.sections.len() - 1;
        self.plan.nodes.push(Node {
            gate: Arc::new(gate),
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            section,
        });
        outputs[0]
    }

    fn wire(&mut self, spec: Spec) -> Wire {
        self.plan.wires.push(spec);
        Wire((self.plan.wires.len() - 1) as u32)
    }

    /// Finishes: `outputs` are the wires that the client learns. Levels the plan.
    pub fn finish(self, outputs: &[Wire]) -> Plan {
        let mut plan = self.plan;
        plan.outputs = outputs.to_vec();
        let mut ready = vec![0usize; plan.wires.len()];
        let mut levels: Vec<Vec<Step>> = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let start = node.inputs.iter().map(|w| ready[w.index()]).max();
            let start = start.unwrap_or(0);
            let rounds = node.gate.rounds().len();
            for round in 0..=rounds {
                if levels.len() <= start + round {
                    levels.resize_with(start + round + 1, Vec::new);
                }
                levels[start + round].push(Step { node: index, round });
            }
            for w in &node.outputs {
                ready[w.index()] = start + rounds;
            }
        }
        // A later node may continue in an earlier level: keep the topological order within each.
        for level in &mut levels {
            level.sort_by_key(|s| s.node);
        }
        plan.last_use = vec![usize::MAX; plan.wires.len()];
        for (time, step) in levels.iter().flatten().enumerate() {
            for w in &plan.nodes[step.node].inputs {
                plan.last_use[w.index()] = time;
            }
        }
        for w in &plan.outputs {
            plan.last_use[w.index()] = usize::MAX;
        }
        plan.levels = levels;
        plan.draws = plan.nodes.iter().map(|n| n.gate.draws()).collect();
        plan
    }
}
