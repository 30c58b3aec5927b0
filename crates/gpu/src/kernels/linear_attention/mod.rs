//! Linear attention by its state: `Q (K^T V) / (N sqrt(dh))`, over N rows. The state `K^T V` is dh x dh, so it takes fewer
//! operations than scores where dh < N.
//!
//! On a card, halves go over tensor cores where dh is a multiple of 16 and keys, values and state fit into 96 KiB (`tensor.cu`).
//!
//! Shapes: as [`Attention`](super::Attention).

use crate::{
    host,
    kernel::{Code, Kernel, Language, Operand},
    kernels::attention::{HEAD, SHARED, dot, part},
};

/// Attention of linear heads.
#[derive(Clone, Debug)]
pub struct LinearAttention {
    /// Rows.
    pub rows: usize,
    /// Heads in all.
    pub heads: usize,
    /// Width of a head.
    pub dh: usize,
    /// The heads that this kernel computes.
    pub mine: Vec<usize>,
}

/// Invocations of a workgroup.
const LANES: usize = 64;

/// Columns of the state that a workgroup has: with heads of up to 256, within the 16 KiB that every device has.
const COLUMNS: usize = 16;

impl LinearAttention {
    /// Bytes of keys, values and the state as halves.
    fn shared(&self) -> usize {
        2 * (2 * self.rows.next_multiple_of(16) + self.dh) * (self.dh + 8)
    }

    /// Warps of a block on tensor cores, if it goes over them.
    fn warps(&self, language: Language) -> Option<usize> {
        let fits = self.dh.is_multiple_of(16) && self.dh <= 128 && self.shared() <= SHARED;
        (language.multiplies_halves() && fits).then(|| self.rows.div_ceil(16).min(8))
    }
}

impl Kernel for LinearAttention {
    fn name(&self) -> &'static str {
        "linear attention"
    }

    fn operands(&self) -> Vec<Operand> {
        let numbers = self.rows * 3 * self.heads * self.dh;
        vec![Operand { name: "qkv", numbers, read: 3 * self.written(), shared: false }]
    }

    fn output(&self) -> usize {
        self.rows * self.heads * self.dh
    }

    fn written(&self) -> usize {
        self.rows * self.mine.len() * self.dh
    }

    fn operations(&self) -> u64 {
        (self.written() * (4 * self.dh + 1)) as u64
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let (n, dh) = (self.rows, self.dh);
        let by = n as f64 * (dh as f64).sqrt();
        for &head in &self.mine {
            let of = |row, which| part(inputs[0], self.heads, dh, row, which, head);
            for c in 0..dh {
                let state = |r: usize| (0..n).map(|j| of(j, 1)[r] * of(j, 2)[c]).sum::<f64>();
                let state: Vec<f64> = (0..dh).map(state).collect();
                for i in 0..n {
                    out[(i * self.heads + head) * dh + c] = dot(of(i, 0), &state) / by;
                }
            }
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        for &head in &self.mine {
            host::attend_by_state((self.rows, self.heads, self.dh), head, inputs[0], out);
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let arms = |of: fn(usize, usize) -> String| -> String {
            self.mine.iter().enumerate().map(|(at, &head)| of(at, head)).collect()
        };
        let by = self.rows as f32 * (self.dh as f32).sqrt();
        let warps = self.warps(language);
        let (functions, bodies) = match language {
            Language::Wgsl => {
                let arms = arms(|at, head| format!("case {at}u: {{ return {head}u; }}\n"));
                let functions = format!(
                    "const BY = f32({by:e});
                     fn head_of(at: u32) -> u32 {{ switch at {{ {arms} default: {{ return 0u; }} }} }}"
                );
                (functions, vec![include_str!("kernel.wgsl")])
            }
            Language::Cuda(_) => {
                let arms = arms(|at, head| format!("at == {at} ? {head}u : "));
                let functions = format!(
                    "constexpr float BY = {by:e}f;\nDEVICE u32 head_of(u32 at) {{ return {arms} 0u; }}"
                );
                let bodies = match warps {
                    Some(_) => vec![HEAD, include_str!("tensor.cu")],
                    None => vec![include_str!("kernel.cu")],
                };
                (functions, bodies)
            }
        };
        let mut constants = vec![
            ("TOKENS", self.rows),
            ("HEADS", self.heads),
            ("DH", self.dh),
            ("COLUMNS", COLUMNS),
            ("LANES", LANES),
        ];
        if let Some(warps) = warps {
            constants.push(("WARPS", warps));
            let (groups, threads) = ([1, self.mine.len(), batch], 32 * warps);
            let shared = self.shared();
            return Code { constants, functions, bodies, groups, threads, shared };
        }
        let groups = [self.dh.div_ceil(COLUMNS), self.mine.len(), batch];
        Code { constants, functions, bodies, groups, threads: LANES, shared: 0 }
    }
}
