// A workgroup makes COLUMNS columns of a head's state f(K)^T V, with a row below them for the sums of V and a column beside them
// for those of f(K); then their part of every row's result.
const WIDE = COLUMNS + 1u;
var<workgroup> state: array<f32, (DH + 1u) * WIDE>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = head_of(group.y);
    let base = group.z * TOKENS * STRIDE + head * DH;
    let left = group.x * COLUMNS;
    let count = min(COLUMNS, DH - left);
    for (var i = lane; i < (DH + 1u) * WIDE; i += LANES) {
        let r = i / WIDE;
        let c = i % WIDE;
        var sum = 0.0;
        if c < count || c == COLUMNS {
            for (var j = 0u; j < TOKENS; j++) {
                let at = base + j * STRIDE;
                var k = 1.0;
                if r < DH { k = feature(f32(qkv[at + HEADS * DH + r])); }
                var v = 1.0;
                if c < COLUMNS { v = f32(qkv[at + 2u * HEADS * DH + left + c]); }
                sum = fma(k, v, sum);
            }
        }
        state[i] = sum;
    }
    workgroupBarrier();
    for (var row = lane; row < TOKENS; row += LANES) {
        var sums = array<f32, WIDE>();
        for (var r = 0u; r < DH; r++) {
            let q = feature(f32(qkv[base + row * STRIDE + r]));
            for (var c = 0u; c < WIDE; c++) { sums[c] = fma(q, state[r * WIDE + c], sums[c]); }
        }
        let to = ((group.z * TOKENS + row) * HEADS + head) * DH + left;
        for (var c = 0u; c < count; c++) {
            let mean = state[DH * WIDE + c] / f32(TOKENS);
            result[to + c] = T(finish(sums[c] * SCALE, sums[COLUMNS] * SCALE, mean));
        }
    }
}
