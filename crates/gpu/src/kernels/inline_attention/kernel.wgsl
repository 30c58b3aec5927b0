fn feature(x: f32) -> f32 { return x; }
// The weights s q k / N of a row sum to its likeness: what is missing to 1 is shared by all values.
fn finish(product: f32, likeness: f32, mean: f32) -> f32 { return fma(1.0 - likeness, mean, product); }
