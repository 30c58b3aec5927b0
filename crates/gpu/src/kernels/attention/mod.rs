//! Attention of some heads, fused: scores never leave the workgroup.
//!
//! [`Scores`] has the kinds and their formulas. Linear heads are cheaper by [`LinearAttention`](super::LinearAttention) where dh < N.
//!
//! On a card, halves go over tensor cores where dh is a multiple of 16 up to 128 (`tensor.cu`): a warp has 16 query
//! rows, whose scores of up to 112 keys at a time are in its registers, with a running maximum over the parts. Keys and values of
//! a short input are in shared memory whole. The weights of the values are rounded to halves there, as scores are not.
//!
//! Tolerance: normwise 2e-6 in f32, 1.5e-3 in f16, 8e-3 in bf16, for all kinds; asserted in the tests.
//!
//! Shapes: the operand is rows x (queries, keys, values), each heads x dh wide; the result rows x (heads x dh), of which
//! this kernel writes its own heads' columns.

use sotto_models::float::RELU_EPS;

use super::heads::{dot, number, part};
use crate::{
    host,
    kernel::{Code, Kernel, Language, Operand},
    scores::Scores,
};

/// Attention of heads of any kinds.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Rows.
    pub rows: usize,
    /// Heads in all.
    pub heads: usize,
    /// Width of a head.
    pub dh: usize,
    /// The heads that this kernel computes, and their kinds.
    pub kinds: Vec<(usize, Scores)>,
}

/// Query rows of a workgroup, an invocation each.
const LANES: usize = 64;

/// Numbers of the keys, and of the values, that a workgroup keeps: 8 KiB each, half of what every device has.
const STAGED: usize = 2048;

/// Bytes that a block may share: every card that has tensor cores for halves gives them.
pub(super) const SHARED: usize = 96 << 10;

/// What kernels of a head on tensor cores share.
pub(super) const HEAD: &str = include_str!("../head.cu");

/// How blocks on tensor cores share an input's query rows, 16 of them a warp and round.
struct Blocks {
    /// Keys whose scores are in registers at once.
    held: usize,
    /// Keys that are in shared memory at once: parts of `held`.
    keys: usize,
    warps: usize,
    rounds: usize,
    /// Blocks of an input and head.
    across: usize,
}

impl Blocks {
    /// None where the language has no tensor cores or the shape does not suit them.
    fn of(language: Language, rows: usize, dh: usize) -> Option<Self> {
        if !language.multiplies_halves() || !dh.is_multiple_of(16) || dh > 128 {
            return None;
        }
        let tiles = rows.div_ceil(16);
        // A thread has a register for two keys, and three for four columns of the result and the queries.
        let held = |most: usize| 16 * tiles.div_ceil(tiles.div_ceil(most / 16));
        let held = held(if dh > 64 { 64 } else { 112 });
        let keys = rows.next_multiple_of(held);
        let rounds = tiles.div_ceil(8);
        let short = Self { held, keys, warps: tiles.div_ceil(rounds), rounds, across: 1 };
        let long = Self { held, keys: held, warps: 4, rounds: 1, across: tiles.div_ceil(4) };
        Some(if short.shared(dh) <= SHARED { short } else { long })
    }

    /// Bytes of keys, values, and the rows that each warp writes.
    fn shared(&self, dh: usize) -> usize {
        2 * (2 * self.keys + 16 * self.warps) * (dh + 8)
    }
}

/// What the kernel calls for each row and head: an open gate.
const OPEN: [&str; 2] = [
    "fn gate_of(row: u32, head: u32) -> f32 { return 1.0; }\n",
    "DEVICE float gate_of(const T *, u32) { return 1.0f; }\n",
];

impl Kernel for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn operands(&self) -> Vec<Operand> {
        let numbers = self.rows * 3 * self.heads * self.dh;
        vec![Operand { name: "qkv", numbers, read: 3 * self.written(), shared: false }]
    }

    fn output(&self) -> usize {
        self.rows * self.heads * self.dh
    }

    fn written(&self) -> usize {
        self.rows * self.kinds.len() * self.dh
    }

    fn operations(&self) -> u64 {
        let scores = self.rows.pow(2);
        let products = 4 * scores * self.dh + 2 * self.rows * self.dh;
        self.kinds.iter().map(|&(_, kind)| (products + scores * kind.operations()) as u64).sum()
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let (n, dh) = (self.rows, self.dh);
        for &(head, kind) in &self.kinds {
            let of = |row, which| part(inputs[0], self.heads, dh, row, which, head);
            for i in 0..n {
                let scores = (0..n).map(|j| dot(of(i, 0), of(j, 1)) / (dh as f64).sqrt());
                let scores: Vec<f64> = scores.collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weigh = |&s: &f64| match kind {
                    Scores::Softmax | Scores::Unified { .. } | Scores::TwoPass => (s - top).exp(),
                    Scores::Relu => s.max(0.0),
                    Scores::Linear => s,
                    Scores::Sigmoid => 1.0 / (1.0 + n as f64 * (-s).exp()),
                    Scores::Softplus => s.max(0.0) + (-s.abs()).exp().ln_1p(),
                    Scores::StableMax if s < 0.0 => 1.0 / (1.0 - s),
                    Scores::StableMax => s + 1.0,
                };
                let p: Vec<f64> = scores.iter().map(weigh).collect();
                let by = match kind {
                    Scores::Relu => p.iter().sum::<f64>() + f64::from(RELU_EPS),
                    Scores::Linear => n as f64,
                    Scores::Sigmoid => 1.0,
                    _ => p.iter().sum(),
                };
                for c in 0..dh {
                    let sum: f64 = (0..n).map(|j| p[j] * of(j, 2)[c]).sum();
                    out[(i * self.heads + head) * dh + c] = sum / by;
                }
            }
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        for &(head, kind) in &self.kinds {
            host::attend(kind, (self.rows, self.heads, self.dh), head, inputs[0], out);
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        self.gated(language, batch, 3 * self.heads * self.dh, OPEN)
    }
}

impl Attention {
    /// Its code for rows that are `stride` apart, times what `gate_of` says of a row and head, in WGSL and in CUDA C.
    pub(super) fn gated(
        &self,
        language: Language,
        batch: usize,
        stride: usize,
        gate: [&str; 2],
    ) -> Code {
        let arms = |of: &dyn Fn(usize, (usize, Scores)) -> String| -> String {
            self.kinds.iter().enumerate().map(|(at, &head)| of(at, head)).collect()
        };
        let numbers = number(language, "SCALE", 1.0 / (self.dh as f32).sqrt())
            + &number(language, "RELU_EPS", RELU_EPS);
        let blocks = Blocks::of(language, self.rows, self.dh);
        let (functions, bodies) = match language {
            Language::Wgsl => {
                let heads = arms(&|at, (head, kind)| {
                    format!("case {at}u: {{ return vec2({head}u, {}u); }}\n", kind.number())
                });
                let phis = arms(&|at, (_, kind)| {
                    format!("case {at}u: {{ return f32({:e}); }}\n", kind.phi())
                });
                let functions = format!(
                    "{numbers}{}
                     fn head_of(at: u32) -> vec2<u32> {{ switch at {{ {heads} default: {{ return vec2(0u); }} }} }}
                     fn phi_of(at: u32) -> f32 {{ switch at {{ {phis} default: {{ return 0.0; }} }} }}",
                    gate[0]
                );
                (functions, vec![include_str!("kernel.wgsl")])
            }
            Language::Cuda(_) => {
                let heads = arms(&|at, (head, _)| format!("at == {at} ? {head}u : "));
                let kinds = arms(&|at, (_, kind)| format!("at == {at} ? {}u : ", kind.number()));
                let phis = arms(&|at, (_, kind)| format!("at == {at} ? {:e}f : ", kind.phi()));
                let functions = format!(
                    "{numbers}{}
                     DEVICE u32 head_of(u32 at) {{ return {heads} 0u; }}
                     DEVICE u32 kind_of(u32 at) {{ return {kinds} 0u; }}
                     DEVICE float phi_of(u32 at) {{ return {phis} 0.0f; }}",
                    gate[1]
                );
                let powers = include_str!("powers.cu");
                let bodies = match blocks {
                    Some(_) => vec![powers, HEAD, include_str!("tensor.cu")],
                    None => vec![powers, include_str!("kernel.cu")],
                };
                (functions, bodies)
            }
        };
        let number = |kind: Scores| kind.number() as usize;
        let mut constants = vec![
            ("SOFTMAX", number(Scores::Softmax)),
            ("RELU", number(Scores::Relu)),
            ("LINEAR", number(Scores::Linear)),
            ("UNIFIED", number(Scores::Unified { phi: 0.0 })),
            ("TWO_PASS", number(Scores::TwoPass)),
            ("SIGMOID", number(Scores::Sigmoid)),
            ("SOFTPLUS", number(Scores::Softplus)),
            ("STABLEMAX", number(Scores::StableMax)),
            ("TOKENS", self.rows),
            ("HEADS", self.heads),
            ("DH", self.dh),
            ("STRIDE", stride),
            ("LANES", LANES),
            ("TILE", (STAGED / self.dh).clamp(1, 32)),
        ];
        let mut groups = [self.rows.div_ceil(LANES), self.kinds.len(), batch];
        if let Some(blocks) = blocks {
            let Blocks { held, keys, warps, rounds, across } = blocks;
            constants.extend([
                ("HELD", held),
                ("KEYS", keys),
                ("WARPS", warps),
                ("ROUNDS", rounds),
            ]);
            groups[0] = across;
            let (threads, shared) = (32 * warps, blocks.shared(self.dh));
            return Code { constants, functions, bodies, groups, threads, shared };
        }
        Code { constants, functions, bodies, groups, threads: LANES, shared: 0 }
    }
}
