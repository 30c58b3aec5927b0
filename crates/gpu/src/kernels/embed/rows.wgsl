// What the product of `tile.wgsl` reads and writes: patches of a picture, and beside them the leading rows.
fn x_at(row: u32, k: u32) -> f32 {
    let token = row % TOKENS;
    if token < LEAD { return 0.0; }
    let patch_at = token - LEAD;
    let i = patch_at / PATCHES * PATCH + k / PATCH % PATCH;
    let j = patch_at % PATCHES * PATCH + k % PATCH;
    let plane = row / TOKENS * PLANES + k / (PATCH * PATCH);
    return f32(picture[(plane * IMAGE + i) * IMAGE + j]);
}
fn w_at(column: u32, k: u32) -> f32 { return f32(w[column * INPUTS + k]); }
fn finish(row: u32, column: u32, sum: f32) {
    let at = row % TOKENS * OUTPUTS + column;
    var y = sum + f32(bias[column]);
    if row % TOKENS < LEAD { y = 0.0 /* token */; }
    result[row * OUTPUTS + column] = T(y + f32(positions[at]));
}
