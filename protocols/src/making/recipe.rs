//! The recipe: how two parties make the correlations of a plan, as a static list of steps.
//!
//! A step writes one value, held by both parties in parts, and reads those of earlier steps. Steps without messages
//! belong to the level in which their inputs are ready; a step with messages sends in that level and is ready in the next. All
//! messages of a level travel together, so a whole plan costs as many flights as its longest chain; a plan of very many COTs is made
//! in waves, one after the other, each of which does: a party holds one wave's COTs and messages, not all. What each party sends in
//! each level, and how many COTs it takes, follows from the list alone.

use std::sync::Arc;

use sotto_lattice::Layer;
use sotto_ot::Extension;
use sotto_ring::pack::packed_len;

use super::encrypted::Encrypted;
use crate::{draw::Draw, spec::Role};

/// A value of the recipe, by the number of the step that writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub(crate) usize);

/// What a party holds of a value. No `Debug`: it is secret.
pub(crate) enum Part {
    /// Words: additive shares, or numbers of its own, or XOR-shared bits many to a word.
    Words(Vec<u64>),
    /// A bit each: XOR shares, or bits of its own.
    Bits(Vec<u8>),
    /// The peer's message: ciphertexts.
    Message(Vec<u8>),
}

/// The parts that a local step reads.
pub(crate) struct Parts<'a>(pub Vec<&'a Part>);

impl<'a> Parts<'a> {
    /// Input `i`, of words.
    pub fn words(&self, i: usize) -> &'a [u64] {
        match self.0[i] {
            Part::Words(words) => words,
            _ => panic!("input {i} is not of words"),
        }
    }

    /// Input `i`, of bits.
    pub fn bits(&self, i: usize) -> &'a [u8] {
        match self.0[i] {
            Part::Bits(bits) => bits,
            _ => panic!("input {i} is not of bits"),
        }
    }

    /// Input `i`, a message.
    pub fn message(&self, i: usize) -> &'a [u8] {
        match self.0[i] {
            Part::Message(bytes) => bytes,
            _ => panic!("input {i} is not a message"),
        }
    }
}

/// What a party does alone.
pub(crate) type Work = Box<dyn Fn(Role, &Parts<'_>) -> Part + Send + Sync>;

/// What a step does.
pub(crate) enum Op {
    /// The party's part of a draw's mask, from its seed; nothing at a party that does not draw it.
    Mask {
        /// The key stream's number.
        stream: u64,
        /// The draw.
        draw: Draw,
    },
    /// Something that each party does alone.
    Local(Work),
    /// COTs whose choices are the receiver's part of the input: its bits, or the lowest `planes` bits of its words, the lowest of all
    /// elements first. One extension carries all of a level.
    Choose {
        /// Who chooses.
        receiver: Role,
        /// Bits of each word; 0 where the input is of bits.
        planes: u32,
    },
    /// Additive shares mod `2^width` of `x y`: `x` as the first input's choices have it, `y` the sender's words, of which `per`
    /// share each choice.
    Times {
        /// Who chose `x`.
        receiver: Role,
        /// Bits of `x`.
        planes: u32,
        /// Ring width.
        width: u32,
    },
    /// Additive shares mod `2^width` of `b t`: `b` XOR-shared, both parts of it chosen (by the server: first input; by the client:
    /// second), `t` additively shared, several words of it for each bit.
    Mux {
        /// Ring width.
        width: u32,
    },
    /// XOR shares of the AND of two XOR-shared bits, from a triple.
    And,
    /// XOR shares of `b e`: as [`Op::Mux`], `e` rows of `size` XOR-shared bits.
    Select {
        /// Bits of a row.
        size: u32,
    },
    /// Each party's part of products' left operands, encrypted; the peer's ciphertexts.
    Upload(Arc<Encrypted>),
    /// Additive shares of products, by an answer of `bytes` to each party's [`Op::Upload`], the first input. The others are the
    /// parts of the left and of the right operands.
    Answer {
        /// The products.
        products: Arc<Encrypted>,
        /// Of an answer.
        bytes: usize,
    },
    /// Additive shares of the client's words times a matrix of the server that is encrypted once: an answer of `bytes`.
    Layer {
        /// Its number in [`Recipe::layers`].
        number: usize,
        /// Of the answer.
        bytes: usize,
    },
    /// The input is this party's part of a draw: packed into its place among the corrections.
    Give {
        /// Its first byte.
        at: usize,
        /// The draw.
        draw: Draw,
    },
}

impl Op {
    /// Whether it takes a flight.
    pub(crate) fn flies(&self) -> bool {
        !matches!(self, Op::Mask { .. } | Op::Local(_) | Op::Give { .. })
    }
}

/// One step.
pub(crate) struct Step {
    pub op: Op,
    pub inputs: Vec<Slot>,
    /// Elements that it writes.
    pub count: usize,
    /// Whether they are bits, of a byte each, not words.
    pub bits: bool,
    pub level: usize,
}

/// What is made elsewhere: a draw that no step gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// The node of the plan.
    pub node: usize,
    /// Its draw.
    pub draw: usize,
    /// The first byte of it among the corrections.
    pub at: usize,
    /// Bytes.
    pub bytes: usize,
}

/// The last use of a value that stays to the end.
const KEPT: usize = usize::MAX;

/// COTs, of both directions, after which a wave ends. Of one at most a party holds about half a gigabyte, and a wave's flights cost
/// little beside its 600 MB: CIFAR-10's ViT is one wave, Tiny-ImageNet's fifteen.
pub(crate) const WAVE: usize = 96_000_000;

/// The steps that are made together at present.
#[derive(Default)]
pub(crate) struct Wave {
    /// Its first level.
    first: usize,
    /// The level in which all of it is ready.
    ready: usize,
    /// Its COTs.
    cots: usize,
}

/// A static list of steps, with everything that follows from it.
pub struct Recipe {
    /// What makes its COTs. Where they are announced, the first level does nothing else.
    pub extension: Extension,
    /// COTs that each party has chosen before each level and after the last.
    chosen: Vec<[usize; 2]>,
    pub(crate) steps: Vec<Step>,
    /// The wave to which what is added belongs.
    pub(crate) wave: Wave,
    /// Numbers of the steps of each level.
    pub(crate) levels: Vec<Vec<usize>>,
    /// The last step that reads each value, in the order of levels: its own where none does, [`KEPT`] where it stays.
    pub(crate) last_use: Vec<usize>,
    /// Bytes of all corrections.
    pub(crate) bytes: usize,
    /// Draws that are made elsewhere: the correlations of matrices.
    pub supplied: Vec<Supplied>,
    /// Whether the correlations of matrices are made by steps, too, not supplied.
    pub(crate) encrypts: bool,
    /// Static layers, and the numbers of the server's matrices that they multiply with.
    pub(crate) layers: Vec<(Layer, usize)>,
    /// Values that the parties rounded: the node, the shares, their ring's width.
    pub(crate) rounded: Vec<(usize, Slot, u32)>,
    /// Draws that are made by encryption: the node, the draw, units of the last place that they are off at most.
    pub(crate) tolerances: Vec<(usize, usize, f64)>,
}

impl Recipe {
    /// Of no steps yet.
    pub(crate) fn new(extension: Extension) -> Self {
        Self {
            extension,
            chosen: Vec::new(),
            steps: Vec::new(),
            wave: Wave::default(),
            levels: Vec::new(),
            last_use: Vec::new(),
            bytes: 0,
            supplied: Vec::new(),
            encrypts: false,
            layers: Vec::new(),
            rounded: Vec::new(),
            tolerances: Vec::new(),
        }
    }

    /// Adds a step.
    pub(crate) fn add(&mut self, op: Op, inputs: Vec<Slot>, count: usize) -> Slot {
        let ready = |s: &Slot| {
            let step = &self.steps[s.0];
            step.level + usize::from(step.op.flies())
        };
        // A triple is made in the flight before.
        let first = self.wave.first.max(usize::from(matches!(op, Op::And)));
        let level = inputs.iter().map(ready).max().unwrap_or(0).max(first);
        self.wave.ready = self.wave.ready.max(level + usize::from(op.flies()));
        self.wave.cots += match op {
            Op::Choose { .. } => count,
            Op::And => 2 * count,
            _ => 0,
        };
        let bits = matches!(op, Op::And);
        self.steps.push(Step { op, inputs, count, bits, level });
        Slot(self.steps.len() - 1)
    }

    /// Begins another wave where this one has so many COTs: what is added from here on waits for all before it.
    pub(crate) fn part(&mut self, cots: usize) {
        let Wave { ready, cots: so_far, .. } = self.wave;
        if so_far >= cots {
            self.wave = Wave { first: ready, ready, cots: 0 };
        }
    }

    /// Elements of a value.
    pub(crate) fn count(&self, slot: Slot) -> usize {
        self.steps[slot.0].count
    }

    /// Moves what can wait to where it is first read: COTs take 16 bytes each from when they are made.
    fn delay(&mut self) {
        let mut late = vec![false; self.steps.len()];
        for i in 0..self.steps.len() {
            late[i] = match self.steps[i].op {
                Op::Mask { .. } | Op::Choose { .. } => true,
                // What follows from masks alone.
                Op::Local(_) => self.steps[i].inputs.iter().all(|s| late[s.0]),
                _ => false,
            };
        }
        let mut first_use = vec![None; self.steps.len()];
        for i in (0..self.steps.len()).rev() {
            let step = &mut self.steps[i];
            if let (true, Some(first)) = (late[i], first_use[i]) {
                step.level = first - usize::from(step.op.flies());
            }
            for input in &step.inputs {
                let first = &mut first_use[input.0];
                *first = Some(first.map_or(step.level, |f: usize| f.min(step.level)));
            }
        }
    }

    /// Levels the steps: nothing is added after.
    pub(crate) fn finish(&mut self) {
        self.delay();
        if self.extension.announces() {
            self.steps.iter_mut().for_each(|step| step.level += 1);
        }
        let levels = self.steps.iter().map(|s| s.level + 1).max().unwrap_or(0);
        self.levels = vec![Vec::new(); levels];
        for (i, step) in self.steps.iter().enumerate() {
            self.levels[step.level].push(i);
        }
        self.last_use = (0..self.steps.len()).collect();
        for level in &self.levels {
            // What flies reads until the peer's message is here, choices until the extension is made.
            let mut order = level.clone();
            order.sort_by_key(|&i| match self.steps[i].op {
                Op::Choose { .. } => 1,
                ref op => 2 * u8::from(op.flies()),
            });
            for i in order {
                for input in &self.steps[i].inputs {
                    self.last_use[input.0] = i;
                }
            }
        }
        for (_, slot, _) in &self.rounded {
            self.last_use[slot.0] = KEPT;
        }
        let mut chosen = [0; 2];
        self.chosen = vec![chosen];
        for level in 0..self.levels.len() {
            for role in [Role::Server, Role::Client] {
                chosen[role.index()] += self.level_cots(level, role);
            }
            self.chosen.push(chosen);
        }
    }

    /// COTs of which `receiver`'s peer has sent what announces them when a level's messages have crossed: all up to the next.
    pub(crate) fn announced(&self, level: usize, receiver: Role) -> usize {
        self.chosen[(level + 2).min(self.levels.len())][receiver.index()]
    }

    /// Those of which it sends that in a level: from one number of `receiver`'s COTs to another.
    fn announces(&self, level: usize, receiver: Role) -> [usize; 2] {
        let before = level.checked_sub(1).map_or(0, |level| self.announced(level, receiver));
        [before, self.announced(level, receiver)]
    }

    /// Iterations with which `receiver`'s peer does so.
    pub(crate) fn iterations(&self, level: usize, receiver: Role) -> usize {
        let [from, to] = self.announces(level, receiver);
        self.extension.iterations(from, to)
    }

    /// Bytes with which `receiver`'s peer does so.
    pub(crate) fn announced_bytes(&self, level: usize, receiver: Role) -> usize {
        let [from, to] = self.announces(level, receiver);
        self.extension.announced_bytes(from, to)
    }

    /// Triples that are used in a level, and made in the one before.
    pub(crate) fn triples(&self, level: usize) -> usize {
        let steps = self.levels.get(level).into_iter().flatten().map(|&i| &self.steps[i]);
        steps.filter(|s| matches!(s.op, Op::And)).map(|s| s.count).sum()
    }

    /// Choices of `receiver` in a level.
    pub(crate) fn choices(&self, level: usize, receiver: Role) -> usize {
        let steps = self.levels[level].iter().map(|&i| &self.steps[i]);
        let chosen =
            steps.filter(|s| matches!(s.op, Op::Choose { receiver: r, .. } if r == receiver));
        chosen.map(|s| s.count).sum()
    }

    /// COTs that `receiver` chooses in a level, one for each triple of the next included.
    pub fn level_cots(&self, level: usize, receiver: Role) -> usize {
        self.choices(level, receiver) + self.triples(level + 1)
    }

    /// COTs that `receiver` chooses in all.
    pub fn cots(&self, receiver: Role) -> usize {
        self.chosen.last().map_or(0, |chosen| chosen[receiver.index()])
    }

    /// Levels: at most as many flights.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Bytes that `from` sends in step `i`, without the extension of COTs.
    pub(crate) fn step_bytes(&self, i: usize, from: Role) -> usize {
        let step = &self.steps[i];
        match step.op {
            Op::Mask { .. } | Op::Local(_) | Op::Give { .. } | Op::Choose { .. } => 0,
            Op::Upload(ref products) => products.upload_len(),
            Op::Answer { bytes, .. } => bytes,
            Op::Layer { bytes, .. } if from == Role::Client => bytes,
            Op::Layer { .. } => 0,
            Op::Times { receiver, .. } if receiver == from => 0,
            Op::Times { planes, width, .. } => {
                (0..planes).map(|p| packed_len(step.count, width - p)).sum()
            }
            Op::Mux { width } => packed_len(step.count, width),
            Op::And => 2 * packed_len(step.count, 1),
            Op::Select { size } => packed_len(step.count, size.min(64)),
        }
    }

    /// Bytes that `from` sends in a level, without what makes COTs.
    pub(crate) fn level_bytes(&self, level: usize, from: Role) -> usize {
        self.levels[level].iter().map(|&i| self.step_bytes(i, from)).sum()
    }
}
