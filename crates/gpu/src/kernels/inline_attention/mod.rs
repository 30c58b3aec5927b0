//! InLine attention: `s / N q (K^T V) + (1 - s q mean K) mean V`, over N rows, s = 1 / sqrt(dh). That is linear attention whose
//! weights `s q k / N` are moved by a number of each row so that they sum to 1, which keeps different queries apart
//! ("injective"). The network's local part, a 3 x 3 convolution of V, is not here.
//!
//! Source: Bridging the Divide (NeurIPS 2024, InLine), equation 5, and its code (`inline_deit.py`, whose scale s / N the paper leaves out).
//!
//! Tolerance: normwise 2e-6 in f32, 1.5e-3 in f16, 8e-3 in bf16. What makes the weights sum to 1 is a difference, so that in f32 it is
//! more where `s q mean K` is large: 1e-5 at ten, 1e-3 at thousands.
//!
//! Shapes: as [`Attention`](super::Attention). Plain cores; heads of up to 224.

use super::heads::{Heads, of_heads};
use crate::{
    host,
    kernel::{Code, Kernel, Language},
};

/// Heads of InLine attention.
#[derive(Clone, Debug)]
pub struct InlineAttention {
    /// The heads.
    pub of: Heads,
}

impl Kernel for InlineAttention {
    fn name(&self) -> &'static str {
        "InLine attention"
    }

    of_heads!();

    fn operations(&self) -> u64 {
        // The scale of the product; a product and a sum.
        self.of.linear_operations(0, 3)
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let finish = |product, likeness, mean: f64| product + (1.0 - likeness) * mean;
        self.of.by_means(inputs[0], out, |x| x, finish);
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let finish = |product, likeness, mean: f32| product + (1.0 - likeness) * mean;
        for &head in &self.of.mine {
            host::heads::attend_by_means(self.of.shape(), head, inputs[0], out, |x| x, finish);
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let bodies = [include_str!("kernel.wgsl"), include_str!("kernel.cu")];
        self.of.code_by_means(language, batch, bodies)
    }
}
