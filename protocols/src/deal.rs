//! The dealer: walks the plan, draws both parties' streams and writes the corrections.
//!
//! Security: the dealer sees shapes, widths and its own randomness; never an input, a weight or
//! an opened value. It together with one party could read everything, so it must not be run by
//! either (README, security model). The corrected party's words are one-time-padded by the other
//! party's seed-derived words, hence uniform to it.

use sotto_crypto::Seed;
use sotto_ring::{mask, pack};

use crate::{
    gate::Draw,
    plan::Plan,
    spec::{Role, Wire},
    weights::SetupMasks,
};

/// What the dealer knows of a wire.
#[derive(Clone)]
pub enum Known {
    /// Nothing: a share.
    Nothing,
    /// The mask of an opened value.
    Mask(Vec<u64>),
    /// The dealer's factors of a form, one entry a term; `None` is the constant 1.
    Form(Vec<Option<Vec<u64>>>),
}

/// Number of the key stream of draw `draw` of node `node`.
pub(crate) fn stream_id(node: usize, draw: usize) -> u64 {
    assert!(draw < 256, "a gate draws at most 256 tensors");
    (node as u64) << 8 | draw as u64
}

/// The `count` words of `width` bits that `seed` gives to a draw.
pub(crate) fn expand(seed: &Seed, id: u64, count: usize, width: u32) -> Vec<u64> {
    let bytes = seed
        .stream(id)
        .bytes(pack::packed_len(count, width));
    let mut words = vec![0; count];
    pack::unpack(&bytes, width, &mut words);
    words
}

/// Seeds of one batch of correlations.
pub struct Seeds {
    /// The server's and the client's.
    pub party: [Seed; 2],
    /// Who receives corrections; the other side's share is all from its seed.
    pub corrected: Role,
}

/// The dealer's view of one gate.
pub struct Dealing<'a> {
    seeds: &'a Seeds,
    setup: &'a SetupMasks,
    node: usize,
    draws: Vec<Draw>,
    given: Vec<Option<Vec<u8>>>,
    inputs: Vec<&'a Known>,
    outputs: Vec<Known>,
}

impl Dealing<'_> {
    fn seed(&self, role: Role) -> &Seed {
        &self.seeds.party[role.index()]
    }

    fn part(&self, role: Role, draw: usize) -> Vec<u64> {
        let (Draw::Mask { count, width }
        | Draw::ClientMask { count, width }
        | Draw::Value { count, width }) = self.draws[draw]
        else {
            panic!("draw {draw} of node {} is a one-hot", self.node)
        };
        expand(self.seed(role), stream_id(self.node, draw), count, width)
    }

    /// The mask of a [`Draw::Mask`] or [`Draw::ClientMask`].
    pub fn mask(&self, draw: usize) -> Vec<u64> {
        let mut r = self.part(Role::Client, draw);
        if let Draw::Mask { width, .. } = self.draws[draw] {
            let m = mask(width);
            for (a, b) in r.iter_mut().zip(self.part(Role::Server, draw)) {
                *a = a.wrapping_add(b) & m;
            }
        }
        r
    }

    /// Both parties' parts of a mask: server, client.
    pub fn mask_parts(&self, draw: usize) -> [Vec<u64>; 2] {
        [self.part(Role::Server, draw), self.part(Role::Client, draw)]
    }

    /// Deals additive shares of `values` into a [`Draw::Value`].
    pub fn give(&mut self, draw: usize, mut values: Vec<u64>) {
        let Draw::Value { count, width } = self.draws[draw] else {
            panic!("draw {draw} of node {} is not a value", self.node)
        };
        assert_eq!(values.len(), count, "node {}: wrong count given", self.node);
        let seeded = self.part(self.seeds.corrected.peer(), draw);
        for (v, s) in values.iter_mut().zip(seeded) {
            *v = v.wrapping_sub(s);
        }
        let mut bytes = Vec::with_capacity(pack::packed_len(count, width));
        pack::pack(&values, width, &mut bytes);
        self.put(draw, bytes);
    }

    /// Deals XOR shares of the unit vectors at `positions` into a [`Draw::OneHot`]; returns, as
    /// +1 or -1 mod 2^64, the sign `e0[r] - e1[r]` that every lookup through it carries.
    ///
    /// The sign is a uniform coin that neither party knows: each party's bit at `r` is uniform.
    pub fn give_one_hot(&mut self, draw: usize, positions: &[u64]) -> Vec<u64> {
        let Draw::OneHot { count, k } = self.draws[draw] else {
            panic!("draw {draw} of node {} is not a one-hot", self.node)
        };
        assert_eq!(positions.len(), count, "node {}: wrong count", self.node);
        let seeded_role = self.seeds.corrected.peer();
        let size = (1usize << k) / 8;
        let mut bytes = self
            .seed(seeded_role)
            .stream(stream_id(self.node, draw))
            .bytes(count * size);
        let mut signs = Vec::with_capacity(count);
        for (e, &r) in bytes.chunks_exact_mut(size).zip(positions) {
            let (byte, bit) = ((r >> 3) as usize, (r & 7) as u32);
            let seeded = u64::from(e[byte] >> bit & 1);
            e[byte] ^= 1 << bit;
            // seeded bit 1 at the server, or 0 at the client, is e0[r] = 1.
            let e0 = seeded ^ u64::from(seeded_role == Role::Client);
            signs.push((2 * e0).wrapping_sub(1));
        }
        self.put(draw, bytes);
        signs
    }

    fn put(&mut self, draw: usize, bytes: Vec<u8>) {
        let slot = &mut self.given[draw];
        assert!(slot.is_none(), "draw {draw} of node {} twice", self.node);
        *slot = Some(bytes);
    }

    /// What the dealer knows of input `i`.
    pub fn input(&self, i: usize) -> &Known {
        self.inputs[i]
    }

    /// The mask of the opened input `i`.
    pub fn input_mask(&self, i: usize) -> &[u64] {
        match self.inputs[i] {
            Known::Mask(r) => r,
            _ => panic!("input {i} of node {} is not an opening", self.node),
        }
    }

    /// The dealer's factors of the form that is input `i`.
    pub fn input_form(&self, i: usize) -> &[Option<Vec<u64>>] {
        match self.inputs[i] {
            Known::Form(terms) => terms,
            _ => panic!("input {i} of node {} is not a form", self.node),
        }
    }

    /// The mask of matrix `id` of the server, as set up once for the model.
    pub fn weight_mask(&self, id: usize) -> &[u64] {
        self.setup.mask(id)
    }

    /// States what the dealer knows of the output.
    pub fn output(&mut self, known: Known) {
        self.outputs.push(known);
    }
}

/// Deals one batch: calls `emit` with the correction bytes of each node, in order.
///
/// # Errors
/// Whatever `emit` returns; dealing stops there.
pub fn deal<E>(
    plan: &Plan,
    seeds: &Seeds,
    setup: &SetupMasks,
    mut emit: impl FnMut(Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    deal_watched(plan, seeds, setup, &mut emit, |_, _| {})
}

/// Like [`deal`], and shows what the dealer knows of each wire (to the tests' simulator).
pub(crate) fn deal_watched<E>(
    plan: &Plan,
    seeds: &Seeds,
    setup: &SetupMasks,
    emit: &mut impl FnMut(Vec<u8>) -> Result<(), E>,
    mut watch: impl FnMut(Wire, &Known),
) -> Result<(), E> {
    let mut known: Vec<Known> = vec![Known::Nothing; plan.wires.len()];
    let mut last_reader = vec![0; plan.wires.len()];
    for (i, node) in plan.nodes.iter().enumerate() {
        for w in &node.inputs {
            last_reader[w.index()] = i;
        }
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        let draws = node.gate.draws();
        let mut dealing = Dealing {
            seeds,
            setup,
            node: index,
            given: vec![None; draws.len()],
            draws,
            inputs: node.inputs.iter().map(|w| &known[w.index()]).collect(),
            outputs: Vec::new(),
        };
        node.gate.deal(&mut dealing);
        let mut bytes = Vec::new();
        for (i, (draw, given)) in dealing.draws.iter().zip(&dealing.given).enumerate() {
            let expected = draw.correction_bytes();
            match given {
                Some(b) => bytes.extend_from_slice(b),
                None => assert_eq!(expected, 0, "{}: draw {i} not dealt", node.gate.name()),
            }
        }
        let outputs = dealing.outputs;
        assert_eq!(outputs.len(), node.outputs.len(), "{}", node.gate.name());
        for (w, k) in node.outputs.iter().zip(outputs) {
            watch(*w, &k);
            known[w.index()] = k;
        }
        free(&mut known, &node.inputs, &last_reader, index);
        if !bytes.is_empty() {
            emit(bytes)?;
        }
    }
    Ok(())
}

fn free(known: &mut [Known], inputs: &[Wire], last_reader: &[usize], index: usize) {
    for w in inputs {
        if last_reader[w.index()] == index {
            known[w.index()] = Known::Nothing;
        }
    }
}
