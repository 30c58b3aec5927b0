// The activations, in f32.

// 1 - 2 / (e^2x + 1), which is 1 and -1 where e^2x overflows or vanishes.
fn tanh_of(x: f32) -> f32 { return 1.0 - 2.0 / (exp(2.0 * x) + 1.0); }

// Abramowitz and Stegun 7.1.26: within 1.5e-7.
fn erf(x: f32) -> f32 {
    let t = 1.0 / fma(0.3275911, abs(x), 1.0);
    let p = t * fma(t, fma(t, fma(t, fma(t, 1.061405429, -1.453152027), 1.421413741), -0.284496736), 0.254829592);
    return sign(x) * (1.0 - p * exp(-x * x));
}

fn gelu(x: f32) -> f32 { return 0.5 * x * (1.0 + erf(x * 0.70710678)); }
fn gelu_tanh(x: f32) -> f32 { return 0.5 * x * (1.0 + tanh_of(0.79788456 * fma(0.044715 * x, x * x, x))); }
fn quick_gelu(x: f32) -> f32 { return x / (1.0 + exp(-1.702 * x)); }
fn silu(x: f32) -> f32 { return x / (1.0 + exp(-x)); }
fn relu(x: f32) -> f32 { return max(x, 0.0); }
fn none(x: f32) -> f32 { return x; }
