// Queries and keys have length 1, queries times SCALE; a row of zeros stays one.
fn begin() {
    var square = 0.0;
    for (var c = 0u; c < DH; c++) { square = fma(q[c], q[c], square); }
    let by = SCALE / max(sqrt(square), 1e-12);
    for (var c = 0u; c < DH; c++) { q[c] *= by; }
}
fn settle(j: u32) {
    var square = 0.0;
    for (var c = 0u; c < DH; c++) { square = fma(keys[j][c], keys[j][c], square); }
    let by = 1.0 / max(sqrt(square), 1e-12);
    for (var c = 0u; c < DH; c++) { keys[j][c] *= by; }
}
fn score(j: u32) -> f32 { return product_with(j); }
fn gather(s: f32) {}
// log(1 + e) by the series of the inverse hyperbolic tangent, for e from 0 to 1: right to its last places where it is small, too.
fn weigh(s: f32) -> f32 {
    let e = exp(-abs(s));
    let t = e / (2.0 + e);
    let u = t * t;
    let p = max(s, 0.0) + 2.0 * t * fma(u, fma(u, fma(u, fma(u, fma(u, 1.0 / 11.0, 1.0 / 9.0), 1.0 / 7.0), 0.2), 1.0 / 3.0), 1.0);
    sum += p;
    return p;
}
fn share() -> f32 { return 1.0 / sum; }
