//! Attention of one query over many keys, as a decoder has it for each word that it writes: softmax, its keys divided equally among
//! workgroups whatever the number of heads (stream-K).
//!
//! All (head, tile of keys) pairs lie in one line, which [`Decode`] cuts into parts of equal length, to a tile. A part's run of
//! tiles in a head gives a partial result: the weighed values divided by their sum, and the logarithm of that sum. [`Merge`]
//! puts a head's together: `(a, x) + (b, y) = (log(e^a + e^b), (e^a x + e^b y) / (e^a + e^b))` is associative, so the
//! cuts do not show. The logarithm is two numbers, r that is stored exactly and `w = e^(log - r)`, so that halves
//! lose none of it.
//!
//! Source: LeanAttention (arXiv 2405.10480): the line of tiles, equal parts, the associative sum. There the last of a head's
//! workgroups merges in the same launch; WebGPU knows no order among workgroups, so that a second launch merges here.
//!
//! Tolerance, of both launches together: normwise 2e-6 in f32, 1.5e-3 in f16, 8e-3 in bf16; 1e-4 in f32 where scores are hundreds,
//! which f32 rounds.
//!
//! Shapes: the operand is the query, heads x dh, and behind it rows x (keys, values), each heads x dh wide; the result heads x dh.
//! Between the launches are (parts + heads) x (dh + 2) numbers. On plain cores: bytes are what it is bound by.

mod merge;

pub use merge::Merge;

use super::{
    heads::{dot, number},
    sweep::STAGED,
};
use crate::{
    Program,
    host::heads::exponentials,
    kernel::{Code, Kernel, Language, Operand},
    program::Writer,
};

/// The parts of one query's attention.
#[derive(Clone, Debug)]
pub struct Decode {
    /// Keys, and values, of each head.
    pub rows: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub dh: usize,
    /// Parts, each a workgroup's: at most as many as there are tiles.
    parts: usize,
}

/// Invocations of a workgroup.
const LANES: usize = 64;

/// Keys of a run of tiles.
struct Run {
    part: usize,
    head: usize,
    keys: std::ops::Range<usize>,
}

impl Decode {
    /// Of so many workgroups for each input, or fewer where there are fewer tiles.
    pub fn new(rows: usize, heads: usize, dh: usize, workgroups: usize) -> Self {
        let mut made = Self { rows, heads, dh, parts: 1 };
        made.parts = workgroups.clamp(1, made.tiles() * heads);
        made
    }

    /// Both launches.
    pub fn program(self) -> Program {
        let (mut writer, input) = Writer::new(self.operands()[0].numbers);
        let merge = Merge { of: self.clone() };
        let parts = writer.launch(self, &[input]);
        let result = writer.launch(merge, &[parts]);
        writer.finish(result)
    }

    /// Keys of a tile.
    fn tile(&self) -> usize {
        (STAGED / self.dh).clamp(1, LANES)
    }

    /// Tiles of a head.
    fn tiles(&self) -> usize {
        self.rows.div_ceil(self.tile())
    }

    /// Partial results, of which some are of no run: that of part p and head h is number p + h, which no other run has.
    fn slots(&self) -> usize {
        self.parts + self.heads
    }

    /// The runs of all parts.
    fn runs(&self) -> Vec<Run> {
        let (tile, tiles) = (self.tile(), self.tiles());
        let line = self.heads * tiles;
        let mut runs = Vec::new();
        for part in 0..self.parts {
            let (mut at, to) = (part * line / self.parts, (part + 1) * line / self.parts);
            while at < to {
                let head = at / tiles;
                let end = to.min((head + 1) * tiles);
                let [start, end_key] = [at, end].map(|at| (at - head * tiles) * tile);
                runs.push(Run { part, head, keys: start..end_key.min(self.rows) });
                at = end;
            }
        }
        runs
    }

    /// The query, a key and a value of a head.
    fn row<'a, T>(&self, x: &'a [T], row: usize, head: usize) -> &'a [T] {
        &x[(row * self.heads + head) * self.dh..][..self.dh]
    }

    fn constants(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("TOKENS", self.rows),
            ("HEADS", self.heads),
            ("DH", self.dh),
            ("TILE", self.tile()),
            ("TILES", self.tiles()),
            ("PARTS", self.parts),
            ("LANES", LANES),
        ]
    }
}

impl Kernel for Decode {
    fn name(&self) -> &'static str {
        "decode"
    }

    fn operands(&self) -> Vec<Operand> {
        vec![Operand::whole("qkv", (1 + 2 * self.rows) * self.heads * self.dh)]
    }

    fn output(&self) -> usize {
        self.slots() * (self.dh + 2)
    }

    fn written(&self) -> usize {
        self.runs().len() * (self.dh + 2)
    }

    fn operations(&self) -> u64 {
        let keys = self.heads * self.rows * (4 * self.dh + 4);
        // Of each run, a quotient of each number; a logarithm, two sums and an exponential. Queries are scaled.
        (keys + self.runs().len() * (self.dh + 4) + self.heads * self.dh) as u64
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        for Run { part, head, keys } in self.runs() {
            let of = |row| self.row(inputs[0], row, head);
            let score = |j| dot(of(0), of(1 + 2 * j)) / (self.dh as f64).sqrt();
            let scores: Vec<f64> = keys.clone().map(score).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let made = &mut out[(part + head) * (self.dh + 2)..][..self.dh + 2];
            for (c, made) in made[..self.dh].iter_mut().enumerate() {
                let values = keys.clone().zip(&weights).map(|(j, p)| p * of(2 + 2 * j)[c]);
                *made = values.sum::<f64>() / sum;
            }
            made[self.dh..].copy_from_slice(&[top + sum.ln(), 1.0]);
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let scale = 1.0 / (self.dh as f32).sqrt();
        for Run { part, head, keys } in self.runs() {
            let of = |row| self.row(inputs[0], row, head);
            let product = |j| crate::host::sum(|c| of(0)[c] * of(1 + 2 * j)[c], self.dh);
            let mut weights: Vec<f32> = keys.clone().map(|j| scale * product(j)).collect();
            let top = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum = exponentials(&mut weights);
            let made = &mut out[(part + head) * (self.dh + 2)..][..self.dh + 2];
            made.fill(0.0);
            for (j, p) in keys.zip(weights) {
                let value = of(2 + 2 * j);
                made.iter_mut().zip(value).for_each(|(y, v)| *y += p / sum * v);
            }
            let log = top + sum.ln();
            made[self.dh..].copy_from_slice(&[log, (top - log + sum.ln()).exp()]);
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let functions = number(language, "SCALE", 1.0 / (self.dh as f32).sqrt());
        let body = match language {
            Language::Wgsl => include_str!("kernel.wgsl"),
            Language::Cuda(_) => include_str!("kernel.cu"),
        };
        let (constants, groups) = (self.constants(), [self.parts, 1, batch]);
        Code { constants, functions, bodies: vec![body], groups, threads: LANES, shared: 0 }
    }
}

#[cfg(test)]
mod tests;
