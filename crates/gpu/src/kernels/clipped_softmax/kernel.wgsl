// The first sweep gathers the row's maximum and sum; the second clips what each score has of it.
fn begin() { for (var c = 0u; c < DH; c++) { q[c] *= SCALE; } }
fn settle(j: u32) {}
fn score(j: u32) -> f32 { return product_with(j); }
fn gather(s: f32) {
    if s > top {
        sum *= exp(top - s);
        top = s;
    }
    sum += exp(s - top);
}
fn weigh(s: f32) -> f32 { return clamp(fma(STRETCH, exp(s - top) / sum, GAMMA), 0.0, 1.0); }
fn share() -> f32 { return 1.0; }
