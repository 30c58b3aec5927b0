// An invocation a column of an input.
@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let c = id.x;
    if c >= WIDTH { return; }
    let source = id.y * ROWS * WIDTH;
    let to = id.y * (FIRST + 1u) * WIDTH;
    if FIRST == 1u { result[to + c] = x[source + c]; }
    var sum = 0.0;
    for (var row = START; row < END; row++) { sum += f32(x[source + row * WIDTH + c]); }
    result[to + FIRST * WIDTH + c] = T(sum / f32(END - START));
}
