//! Magnitude-aware linear attention: `(1 + 1 / z) s / N f(q) (f(K)^T V) - z mean V`, over N rows, with `f = elu + 1`,
//! `s = 1 / sqrt(dh)` and `z = s f(q) mean f(K)`. A row's weights sum to 1, and spread as its query grows, as softmax's do and those of other
//! linear kinds do not. The network's rotation of features, convolution of V and output gate are not here.
//!
//! Source: Rectifying Magnitude Neglect in Linear Attention (arXiv 2507.00698), and its code (`AddLinearAttention`), which has
//! `1 / (z + 1e-6)`; so here.
//!
//! Tolerance: normwise 2e-6 in f32, 1.5e-3 in f16, 8e-3 in bf16. What makes the weights sum to 1 is a difference, so that in f32 it is
//! more where z is large: 1e-5 at ten, 1e-3 at thousands.
//!
//! Shapes: as [`Attention`](super::Attention). Plain cores; heads of up to 224.

use super::heads::{Heads, of_heads};
use crate::{
    host,
    kernel::{Code, Kernel, Language},
};

/// Heads of magnitude-aware linear attention.
#[derive(Clone, Debug)]
pub struct Mala {
    /// The heads.
    pub of: Heads,
}

impl Kernel for Mala {
    fn name(&self) -> &'static str {
        "MALA"
    }

    of_heads!();

    fn operations(&self) -> u64 {
        // An exponential or a sum of each number of queries and keys. The scale of the product; two products and a sum.
        self.of.linear_operations(1, 4)
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let feature = |x: f64| if x > 0.0 { x + 1.0 } else { x.exp() };
        let finish =
            |product: f64, z: f64, mean: f64| (1.0 + 1.0 / (z + 1e-6)) * product - z * mean;
        self.of.by_means(inputs[0], out, feature, finish);
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let feature = |x: f32| if x > 0.0 { x + 1.0 } else { x.exp() };
        let finish =
            |product: f32, z: f32, mean: f32| (1.0 + 1.0 / (z + 1e-6)) * product - z * mean;
        for &head in &self.of.mine {
            host::heads::attend_by_means(self.of.shape(), head, inputs[0], out, feature, finish);
        }
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let bodies = [include_str!("kernel.wgsl"), include_str!("kernel.cu")];
        self.of.code_by_means(language, batch, bodies)
    }
}
