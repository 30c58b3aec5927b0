//! How a head weighs its values by its scores.

use sotto_models::arch::Attention;

/// How a head turns a row of scores `S = q K^T / sqrt(dh)`, over N rows, into weights of its values.
///
/// | kind | weights | source |
/// |--|--|--|
/// | softmax | `exp(S) / sum exp(S)`, by a running maximum | |
/// | unified | the same, by sums of `exp(S - phi)` with a `phi` that is fixed; where a score is farther from it than 24, the workgroup computes its rows again by running maxima | FlashDecoding++ |
/// | two-pass | the same, by `e^x = m 2^n`, whose sums are scaled by powers of two alone | Two-Pass Softmax |
/// | ReLU | `relu(S) / (sum relu(S) + 1)` | MPCViT, with 1 instead of 1e-5 |
/// | linear | `S / N` | MPCViT |
/// | sigmoid | `1 / (1 + exp(log N - S))` | FlashSigmoid |
/// | softplus | `log(1 + exp(S)) / sum`; with LSSA's scale and unit rows it is [`Lssa`](crate::kernels::Lssa) | LSSA |
/// | StableMax | `s(S) / sum s(S)`, `s(x) = x + 1` from 0 on, `1 / (1 - x)` below | StableMax |
///
/// Kinds that are more than a weight of one score are kernels of their own ([`kernels`](crate::kernels)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scores {
    /// Softmax by a running maximum.
    Softmax,
    /// Softmax by a fixed number instead of the maximum.
    Unified {
        /// About the middle of the scores.
        phi: f32,
    },
    /// Softmax by mantissa and exponent.
    TwoPass,
    /// ReLU.
    Relu,
    /// The scores themselves.
    Linear,
    /// Sigmoid.
    Sigmoid,
    /// Softplus.
    Softplus,
    /// StableMax.
    StableMax,
}

impl From<Attention> for Scores {
    fn from(kind: Attention) -> Self {
        match kind {
            Attention::Softmax => Scores::Softmax,
            Attention::Relu => Scores::Relu,
            Attention::Linear => Scores::Linear,
            // A kind that `models` has and this crate has not; the models' tests go through all.
            other => panic!("no kernel has the attention {}", other.name()),
        }
    }
}

impl Scores {
    /// Its number in the kernels' code.
    pub(crate) fn number(self) -> u32 {
        match self {
            Scores::Softmax => 0,
            Scores::Relu => 1,
            Scores::Linear => 2,
            Scores::Unified { .. } => 3,
            Scores::TwoPass => 4,
            Scores::Sigmoid => 5,
            Scores::Softplus => 6,
            Scores::StableMax => 7,
        }
    }

    /// What the exponent of a unified softmax is taken from.
    pub(crate) fn phi(self) -> f32 {
        match self {
            Scores::Unified { phi } => phi,
            _ => 0.0,
        }
    }

    /// Operations on a score between the two products.
    pub(crate) fn operations(self) -> usize {
        match self {
            // Maximum, difference, exponential, sum.
            Scores::Softmax | Scores::Unified { .. } | Scores::TwoPass => 4,
            // Maximum, sum.
            Scores::Relu => 2,
            Scores::Linear => 0,
            // Difference, exponential, sum, quotient; for softplus a logarithm and its sum instead of the quotient.
            Scores::Sigmoid => 4,
            Scores::Softplus => 5,
            // Sum, quotient, sum.
            Scores::StableMax => 3,
        }
    }
}
