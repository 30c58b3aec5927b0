//! Integer-only attention: softmax of bytes by shifts, products of bytes in 32 bits, and no number that is not whole.
//!
//! With queries, keys and values in units of `qkv`, scores in units of `score`, the result in units of `result`:
//! - scores are `x = byte(q k^T qkv^2 / (sqrt(dh) score))`, where `byte` rounds and keeps to -128..127;
//! - Shiftmax: of `x - max x`, `y = x + (x >> 1) - (x >> 4)`, which is about x log2 e, `x0 = floor(-1 / score)`,
//!   `y = max(y, 15 x0)`, `n = floor(y / x0)`, `r = y - n x0`, `e = floor((r / 2 - x0) 2^(15 - n))`; a weight is
//!   `p = (e floor((2^31 - 1) / sum e)) >> 24`, in units of 1/128;
//! - the result is `byte(p V qkv / (128 result))`.
//!
//! Source: I-ViT (arXiv 2207.01405), section 3.3, and its code: `IntSoftmax` with 8 bits, `quantized_softmax` of its TVM part, and the order of
//! `vit_quant.py`. Rescaling is by dyadic numbers as there, with 15 bits of mantissa ([`Dyadic`]) where it has 31, and
//! halves are rounded up where it rounds them to even. Its integer GELU and norm are not here.
//!
//! Tolerance: none. Every device gives the definition's numbers, bit for bit, in every format: all of them hold bytes. Beside
//! softmax of the same scores a weight is off by up to 0.03, which a test holds.
//!
//! Shapes: as [`Attention`](super::Attention), of whole numbers from -128 to 127. Four bytes are multiplied at once (dp4a) on
//! plain cores.

mod dyadic;

pub use dyadic::Dyadic;

use super::{
    heads::{Heads, of_heads, part},
    sweep::{LANES, STAGED},
};
use crate::kernel::{Code, Kernel, Language};

/// Units of whole numbers.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// Of queries, keys and values.
    pub qkv: f64,
    /// Of scores.
    pub score: f64,
    /// Of the result.
    pub result: f64,
}

/// Heads of integer-only attention.
#[derive(Clone, Debug)]
pub struct IntegerAttention {
    of: Heads,
    /// From products of queries and keys to scores.
    score: Dyadic,
    /// From weighed values to the result.
    result: Dyadic,
    /// How many units of a score are 1: `-x0`.
    unit: usize,
}

/// Bits by which a power of two is shifted: smaller ones are the last.
const SHIFTS: i32 = 15;

impl IntegerAttention {
    /// `None` where units are such that 32 bits do not hold a sum, or that a rescaling is not from 2^-17 to 2^-2: `1 / score` is below
    /// 2^15, times rows below 2^16, and dh at most 1024.
    pub fn new(of: Heads, units: Units) -> Option<Self> {
        let Units { qkv, score, result } = units;
        let unit = (1.0 / score).ceil();
        // A NaN passes neither.
        let holds = (1.0..32768.0).contains(&unit) && unit * (of.rows as f64) < 65536.0;
        let fits = holds && of.dh <= 1024;
        fits.then_some(())?;
        let score = Dyadic::near(qkv * qkv / ((of.dh as f64).sqrt() * score))?;
        let result = Dyadic::near(qkv / (128.0 * result))?;
        Some(Self { of, score, result, unit: unit as usize })
    }

    /// The weights of a row's scores, of 128.
    fn weights(&self, scores: &[f64]) -> Vec<f64> {
        let x0 = -(self.unit as f64);
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exponential = |x: &f64| {
            let x = x - top;
            let y = x + (x / 2.0).floor() - (x / 16.0).floor();
            let y = y.max(f64::from(SHIFTS) * x0);
            let n = (y / x0).floor();
            ((y - n * x0) / 2.0 - x0) * (f64::from(SHIFTS) - n).exp2()
        };
        let e: Vec<f64> = scores.iter().map(|x| exponential(x).floor()).collect();
        let factor = (2147483647.0 / e.iter().sum::<f64>()).floor();
        e.iter().map(|e| (e * factor / 16777216.0).floor()).collect()
    }

    /// `e^(x / unit)` times `unit 2^15`, of an x up to 0.
    fn shift_exp(&self, x: i32) -> i32 {
        let unit = self.unit as i32;
        let y = (x + (x >> 1) - (x >> 4)).max(-SHIFTS * unit);
        let n = -y / unit;
        ((y + unit * n + 2 * unit) << (SHIFTS - n)) >> 1
    }
}

impl Kernel for IntegerAttention {
    fn name(&self) -> &'static str {
        "integer attention"
    }

    of_heads!();

    fn operations(&self) -> u64 {
        // Whole numbers' are counted like others. Of a score: a rescaling (product, sum, shift), maximum, difference; two shifts, two
        // sums, a maximum, a quotient, three sums and products, two shifts; sum, product, shift. A rescaling of each
        // number of the result, and a quotient of each row.
        self.of.operations(19, 3 * self.of.dh + 1)
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let (n, heads, dh) = self.of.shape();
        let of = |row, which, head| part(inputs[0], heads, dh, row, which, head);
        let byte = |x: f64, by: Dyadic| (x * by.value() + 0.5).floor().clamp(-128.0, 127.0);
        let weights = |head, row| {
            let product = |j| super::heads::dot(of(row, 0, head), of(j, 1, head));
            let scores: Vec<f64> = (0..n).map(|j| byte(product(j), self.score)).collect();
            self.weights(&scores)
        };
        self.of.weigh(weights, |row, head| of(row, 2, head), out);
        for row in out.chunks_exact_mut(heads * dh) {
            for &head in &self.of.mine {
                let mine = &mut row[head * dh..][..dh];
                mine.iter_mut().for_each(|y| *y = byte(*y, self.result));
            }
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let (n, heads, dh) = self.of.shape();
        let qkv: Vec<i32> = inputs[0].iter().map(|&x| x as i32).collect();
        for &head in &self.of.mine {
            let of = |row, which| part(&qkv, heads, dh, row, which, head);
            for row in 0..n {
                let product = |j| of(row, 0).iter().zip(of(j, 1)).map(|(a, b)| a * b).sum::<i32>();
                let scores: Vec<i32> = (0..n).map(|j| self.score.rescale(product(j))).collect();
                let top = scores.iter().copied().max().expect("there are rows");
                let weights: Vec<i32> = scores.iter().map(|x| self.shift_exp(x - top)).collect();
                let factor = i32::MAX / weights.iter().sum::<i32>();
                let mut sums = vec![0; dh];
                for (j, e) in weights.into_iter().enumerate() {
                    let p = (e * factor) >> 24;
                    sums.iter_mut().zip(of(j, 2)).for_each(|(sum, v)| *sum += p * v);
                }
                let made = &mut out[(row * heads + head) * dh..][..dh];
                let rescaled = sums.into_iter().map(|sum| self.result.rescale(sum) as f32);
                made.iter_mut().zip(rescaled).for_each(|(y, x)| *y = x);
            }
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let (rows, heads, dh) = self.of.shape();
        let constants = vec![
            ("TOKENS", rows),
            ("HEADS", heads),
            ("DH", dh),
            ("STRIDE", 3 * heads * dh),
            ("LANES", LANES),
            ("TILE", (STAGED / dh).clamp(1, 32)),
            ("UNIT", self.unit),
            ("SCORE_BY", self.score.by as usize),
            ("SCORE_SHIFT", self.score.shift as usize),
            ("RESULT_BY", self.result.by as usize),
            ("RESULT_SHIFT", self.result.shift as usize),
        ];
        let bodies = match language {
            Language::Wgsl => vec![include_str!("kernel.wgsl")],
            Language::Cuda(_) => vec![include_str!("kernel.cu")],
        };
        let groups = [rows.div_ceil(LANES), self.of.mine.len(), batch];
        let functions = self.of.head_of(language);
        Code { constants, functions, bodies, groups, threads: LANES, shared: 0 }
    }
}

#[cfg(test)]
mod tests;
