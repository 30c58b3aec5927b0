// elu + 1.
fn feature(x: f32) -> f32 { return select(exp(min(x, 0.0)), x + 1.0, x > 0.0); }
// A row's weights grow with its query: by 1 + 1 / z, where z is what they sum to, less z for all values.
fn finish(product: f32, likeness: f32, mean: f32) -> f32 {
    return fma(-likeness, mean, (1.0 + 1.0 / (likeness + EPS)) * product);
}
const EPS = 1e-6;
