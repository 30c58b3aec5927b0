// A workgroup makes COLUMNS columns of a head's state, then their part of every row's result.
var<workgroup> state: array<f32, DH * COLUMNS>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = head_of(group.y);
    let base = group.z * TOKENS * STRIDE + head * DH;
    let left = group.x * COLUMNS;
    for (var i = lane; i < DH * COLUMNS; i += LANES) {
        let r = i / COLUMNS;
        let c = left + i % COLUMNS;
        var sum = 0.0;
        if c < DH {
            for (var j = 0u; j < TOKENS; j++) {
                let at = base + j * STRIDE;
                sum = fma(f32(qkv[at + HEADS * DH + r]), f32(qkv[at + 2u * HEADS * DH + c]), sum);
            }
        }
        state[i] = sum;
    }
    workgroupBarrier();
    for (var i = lane; i < TOKENS * COLUMNS; i += LANES) {
        let row = i / COLUMNS;
        let c = left + i % COLUMNS;
        if c < DH {
            var sum = 0.0;
            for (var r = 0u; r < DH; r++) {
                sum = fma(f32(qkv[base + row * STRIDE + r]), state[r * COLUMNS + i % COLUMNS], sum);
            }
            result[((group.z * TOKENS + row) * HEADS + head) * DH + c] = T(sum / BY);
        }
    }
}
