//! The loop that linear kinds of attention share which read two column means beside their state: InLine and MALA.
//!
//! Of a head with rows q, k, v over N rows, s = 1 / sqrt(dh) and a feature f, the result of a row is `finish(product, likeness, mean)`
//! of `product = s / N f(q) (f(K)^T V)`, `likeness = s f(q) mean f(K)` and `mean = mean V`. Nothing is as large as N x N.

use super::heads::{Heads, dot, number, part};
use crate::kernel::{Code, Language};

/// Query rows of a workgroup, an invocation each.
const LANES: usize = 64;

/// Columns of the state that a workgroup has: with heads of up to 224, within the 16 KiB that every device has.
const COLUMNS: usize = 16;

impl Heads {
    /// Operations with `feature` more for each number of queries and keys, and `finish` more for each number of the result: two
    /// products, two means, and a likeness of each row.
    pub(super) fn linear_operations(&self, feature: usize, finish: usize) -> u64 {
        (self.written() * (4 * self.dh + 2 + 2 + 2 * feature + finish)) as u64
    }

    /// The definition.
    pub(super) fn by_means(
        &self,
        qkv: &[f64],
        out: &mut [f64],
        feature: impl Fn(f64) -> f64,
        finish: impl Fn(f64, f64, f64) -> f64,
    ) {
        let (n, heads, dh) = self.shape();
        let scale = 1.0 / (dh as f64).sqrt();
        let features = |row, which, head| -> Vec<f64> {
            part(qkv, heads, dh, row, which, head).iter().map(|&x| feature(x)).collect()
        };
        for &head in &self.mine {
            let keys: Vec<Vec<f64>> = (0..n).map(|j| features(j, 1, head)).collect();
            let values = |j: usize, c: usize| part(qkv, heads, dh, j, 2, head)[c];
            let mean = |of: &dyn Fn(usize) -> f64| (0..n).map(of).sum::<f64>() / n as f64;
            let key: Vec<f64> = (0..dh).map(|r| mean(&|j| keys[j][r])).collect();
            for c in 0..dh {
                let state = (0..dh).map(|r| mean(&|j| keys[j][r] * values(j, c)));
                let state: Vec<f64> = state.collect();
                let value = mean(&|j| values(j, c));
                for i in 0..n {
                    let q = features(i, 0, head);
                    let (product, likeness) = (scale * dot(&q, &state), scale * dot(&q, &key));
                    out[(i * heads + head) * dh + c] = finish(product, likeness, value);
                }
            }
        }
    }

    /// The code, of which `bodies` are `feature` and `finish`, in WGSL and in CUDA C.
    pub(super) fn code_by_means(
        &self,
        language: Language,
        batch: usize,
        [wgsl, cuda]: [&'static str; 2],
    ) -> Code {
        let (rows, heads, dh) = self.shape();
        let constants = vec![
            ("TOKENS", rows),
            ("HEADS", heads),
            ("DH", dh),
            ("STRIDE", 3 * heads * dh),
            ("COLUMNS", COLUMNS),
            ("LANES", LANES),
        ];
        let bodies = match language {
            Language::Wgsl => vec![wgsl, include_str!("means.wgsl")],
            Language::Cuda(_) => vec![cuda, include_str!("means.cu")],
        };
        let functions = self.head_of(language)
            + &number(language, "SCALE", 1.0 / (rows as f32 * (dh as f32).sqrt()));
        let groups = [dh.div_ceil(COLUMNS), self.mine.len(), batch];
        Code { constants, functions, bodies, groups, threads: LANES, shared: 0 }
    }
}
