//! Linear attention by its state: `Q (K^T V) / (N sqrt(dh))`, over N rows. The state `K^T V` is dh x dh, so it takes fewer
//! operations than scores where dh < N.
//!
//! On a card, halves go over tensor cores where dh is a multiple of 16 and keys, values and state fit into 96 KiB (`tensor.cu`).
//!
//! Shapes: as [`Attention`](super::Attention).

use crate::{
    host,
    kernel::{Code, Kernel, Language},
    kernels::{
        attention::{HEAD, SHARED},
        heads::{Heads, dot, number, of_heads, part},
    },
};

/// Attention of linear heads.
#[derive(Clone, Debug)]
pub struct LinearAttention {
    /// The heads.
    pub of: Heads,
}

/// Invocations of a workgroup.
const LANES: usize = 64;

/// Columns of the state that a workgroup has: with heads of up to 256, within the 16 KiB that every device has.
const COLUMNS: usize = 16;

impl LinearAttention {
    /// Bytes of keys, values and the state as halves.
    fn shared(&self) -> usize {
        2 * (2 * self.of.rows.next_multiple_of(16) + self.of.dh) * (self.of.dh + 8)
    }

    /// Warps of a block on tensor cores, if it goes over them.
    fn warps(&self, language: Language) -> Option<usize> {
        let dh = self.of.dh;
        let fits = dh.is_multiple_of(16) && dh <= 128 && self.shared() <= SHARED;
        (language.multiplies_halves() && fits).then(|| self.of.rows.div_ceil(16).min(8))
    }
}

impl Kernel for LinearAttention {
    fn name(&self) -> &'static str {
        "linear attention"
    }

    of_heads!();

    fn operations(&self) -> u64 {
        (self.written() * (4 * self.of.dh + 1)) as u64
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let (n, heads, dh) = self.of.shape();
        let by = n as f64 * (dh as f64).sqrt();
        for &head in &self.of.mine {
            let of = |row, which| part(inputs[0], heads, dh, row, which, head);
            for c in 0..dh {
                let state = |r: usize| (0..n).map(|j| of(j, 1)[r] * of(j, 2)[c]).sum::<f64>();
                let state: Vec<f64> = (0..dh).map(state).collect();
                for i in 0..n {
                    out[(i * heads + head) * dh + c] = dot(of(i, 0), &state) / by;
                }
            }
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        for &head in &self.of.mine {
            host::attend_by_state(self.of.shape(), head, inputs[0], out);
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let (rows, heads, dh) = self.of.shape();
        let by = rows as f32 * (dh as f32).sqrt();
        let functions = number(language, "BY", by) + &self.of.head_of(language);
        let warps = self.warps(language);
        let bodies = match (language, warps) {
            (Language::Wgsl, _) => vec![include_str!("kernel.wgsl")],
            (_, Some(_)) => vec![HEAD, include_str!("tensor.cu")],
            (_, None) => vec![include_str!("kernel.cu")],
        };
        let mut constants = vec![
            ("TOKENS", rows),
            ("HEADS", heads),
            ("DH", dh),
            ("STRIDE", 3 * heads * dh),
            ("COLUMNS", COLUMNS),
            ("LANES", LANES),
        ];
        if let Some(warps) = warps {
            constants.push(("WARPS", warps));
            let (groups, threads) = ([1, self.of.mine.len(), batch], 32 * warps);
            let shared = self.shared();
            return Code { constants, functions, bodies, groups, threads, shared };
        }
        let groups = [dh.div_ceil(COLUMNS), self.of.mine.len(), batch];
        Code { constants, functions, bodies, groups, threads: LANES, shared: 0 }
    }
}
