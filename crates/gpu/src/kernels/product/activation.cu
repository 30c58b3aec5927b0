// The activations, in f32.
DEVICE float tanh_of(float x) { return hyperbolic_tangent(x); }
DEVICE float gelu(float x) { return 0.5f * x * (1.0f + error_function(x * 0.70710678f)); }
DEVICE float gelu_tanh(float x) { return 0.5f * x * (1.0f + tanh_of(0.79788456f * (x + 0.044715f * x * x * x))); }
DEVICE float quick_gelu(float x) { return x / (1.0f + exponential(-1.702f * x)); }
DEVICE float silu(float x) { return x / (1.0f + exponential(-x)); }
DEVICE float relu(float x) { return x > 0.0f ? x : 0.0f; }
DEVICE float none(float x) { return x; }
