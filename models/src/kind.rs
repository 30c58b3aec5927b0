//! The kinds of attention and of activation.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use serde::{Deserialize, Serialize};

/// Added to the sum of a row of relu(S) in ReLU attention, like one more token that scores 1 and has no value.
///
/// MPCViT's release adds 1e-5, against a division by zero alone. There the smallest sums, of rows with hardly a
/// positive score, are scaled up without bound, and with them the rounding of any fixed-point arithmetic.
pub const RELU_EPS: f32 = 1.0;

/// How one head turns its scores S = Q K^T / sqrt(head dim) and values V into an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Attention {
    /// exp(S) V / sum exp(S).
    Softmax,
    /// relu(S) V / (sum relu(S) + 1).
    Relu,
    /// S V / N = Q (K^T V) / N, over N tokens: no nonlinear function at all.
    Linear,
}

impl Attention {
    /// Every kind, from the dearest to the cheapest.
    pub const ALL: [Attention; 3] = [Attention::Softmax, Attention::Relu, Attention::Linear];

    /// The name that an architecture file uses.
    pub fn name(self) -> &'static str {
        match self {
            Attention::Softmax => "softmax",
            Attention::Relu => "relu",
            Attention::Linear => "linear",
        }
    }
}

/// The function between the two products of a layer's MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Activation {
    /// x (1 + erf(x / sqrt 2)) / 2.
    Gelu,
    /// max(x, 0).
    Relu,
    /// The identity (MPCViT+).
    None,
    /// The GELU's approximation x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    GeluTanh,
    /// The GELU's approximation x / (1 + exp(-1.702 x)).
    QuickGelu,
    /// x / (1 + exp(-x)).
    Silu,
    /// tanh x.
    Tanh,
}

impl Activation {
    /// Those of version 1, which MPCViT and the search choose from.
    pub const FIRST: [Activation; 3] = [Activation::Gelu, Activation::Relu, Activation::None];

    /// The name that an architecture file uses.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Gelu => "gelu",
            Activation::Relu => "relu",
            Activation::None => "none",
            Activation::GeluTanh => "gelu-tanh",
            Activation::QuickGelu => "quick-gelu",
            Activation::Silu => "silu",
            Activation::Tanh => "tanh",
        }
    }
}

impl Activation {
    /// The value at `x`.
    pub fn at(self, x: f32) -> f32 {
        let logistic = |x: f32| 1.0 / (1.0 + libm::expf(-x));
        match self {
            Activation::Gelu => 0.5 * x * (1.0 + libm::erff(x * FRAC_1_SQRT_2)),
            Activation::Relu => x.max(0.0),
            Activation::None => x,
            Activation::GeluTanh => {
                0.5 * x * (1.0 + libm::tanhf(SQRT_2_BY_PI * (x + 0.044715 * x * x * x)))
            }
            Activation::QuickGelu => x * logistic(1.702 * x),
            Activation::Silu => x * logistic(x),
            Activation::Tanh => libm::tanhf(x),
        }
    }
}

/// sqrt(2 / pi).
const SQRT_2_BY_PI: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
