//! The activations: definitions in f64, and their names in the kernels' code.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use sotto_models::arch::Activation;

/// The value at `x`.
pub(super) fn definition(activation: Activation, x: f64) -> f64 {
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Gelu => 0.5 * x * libm::erfc(-x * FRAC_1_SQRT_2),
        Activation::Relu => x.max(0.0),
        Activation::None => x,
        Activation::GeluTanh => {
            let root = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
            0.5 * x * (1.0 + (root * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::QuickGelu => x * logistic(1.702 * x),
        Activation::Silu => x * logistic(x),
        Activation::Tanh => x.tanh(),
        other => unknown(other),
    }
}

/// The name of its function in `activation.wgsl` and `activation.cu`.
pub(super) fn function(activation: Activation) -> &'static str {
    match activation {
        Activation::Gelu => "gelu",
        Activation::Relu => "relu",
        Activation::None => "none",
        Activation::GeluTanh => "gelu_tanh",
        Activation::QuickGelu => "quick_gelu",
        Activation::Silu => "silu",
        Activation::Tanh => "tanh_of",
        other => unknown(other),
    }
}

/// A kind that `models` has and this crate has not: a test goes through all of them.
fn unknown(activation: Activation) -> ! {
    panic!("no kernel has the activation {}", activation.name())
}
