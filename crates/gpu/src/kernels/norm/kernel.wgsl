// A workgroup a row: sums by halving in workgroup memory, which needs no subgroups.
var<workgroup> parts: array<f32, LANES>;

fn total(lane: u32, part: f32) -> f32 {
    parts[lane] = part;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { parts[lane] += parts[lane + half]; }
        workgroupBarrier();
    }
    let sum = workgroupUniformLoad(&parts[0]);
    return sum;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group.y * groups.x + group.x;
    if row >= ALL { return; }
    let source = (row / TAKEN * ROWS + FIRST + row % TAKEN) * WIDTH;
    var sum = 0.0;
    for (var c = lane; c < WIDTH; c += LANES) { sum += f32(x[source + c]); }
    let mean = total(lane, sum) / f32(WIDTH);
    var square = 0.0;
    for (var c = lane; c < WIDTH; c += LANES) {
        let d = f32(x[source + c]) - mean;
        square = fma(d, d, square);
    }
    let scale = 1.0 / sqrt(total(lane, square) / f32(WIDTH) + EPS);
    for (var c = lane; c < WIDTH; c += LANES) {
        let y = (f32(x[source + c]) - mean) * scale;
        result[row * WIDTH + c] = T(fma(y, f32(gain[c]), f32(offset[c])));
    }
}
