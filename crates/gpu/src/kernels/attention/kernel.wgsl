// A query row an invocation; keys and values are staged tile by tile. Softmax keeps a running maximum: what was summed
// below an older one is scaled when a larger score comes.
var<workgroup> keys: array<array<f32, DH>, TILE>;
var<workgroup> values: array<array<f32, DH>, TILE>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let mine = head_of(group.y);
    let head = mine.x;
    let kind = mine.y;
    let stride = 3u * HEADS * DH;
    let base = group.z * TOKENS * stride + head * DH;
    let row = group.x * LANES + lane;
    let live = row < TOKENS;
    var q: array<f32, DH>;
    var acc: array<f32, DH>;
    if live { for (var c = 0u; c < DH; c++) { q[c] = f32(qkv[base + row * stride + c]) * SCALE; } }
    var top = -3.0e38;
    var sum = 0.0;
    for (var start = 0u; start < TOKENS; start += TILE) {
        workgroupBarrier();
        for (var i = lane; i < TILE * DH; i += LANES) {
            let token = start + i / DH;
            if token < TOKENS {
                let at = base + token * stride + i % DH;
                keys[i / DH][i % DH] = f32(qkv[at + HEADS * DH]);
                values[i / DH][i % DH] = f32(qkv[at + 2u * HEADS * DH]);
            }
        }
        workgroupBarrier();
        let count = min(TILE, TOKENS - start);
        for (var j = 0u; j < count; j++) {
            var s = 0.0;
            for (var c = 0u; c < DH; c++) { s = fma(q[c], keys[j][c], s); }
            var p = s;
            if kind == SOFTMAX {
                if s > top {
                    let factor = exp(top - s);
                    for (var c = 0u; c < DH; c++) { acc[c] *= factor; }
                    sum *= factor;
                    top = s;
                }
                p = exp(s - top);
            } else if kind == RELU {
                p = max(s, 0.0);
            }
            sum += p;
            for (var c = 0u; c < DH; c++) { acc[c] = fma(p, values[j][c], acc[c]); }
        }
    }
    var by = sum;
    if kind == RELU { by = sum + RELU_EPS; }
    if kind == LINEAR { by = f32(TOKENS); }
    if live {
        let to = ((group.z * TOKENS + row) * HEADS + head) * DH;
        for (var c = 0u; c < DH; c++) { result[to + c] = T(acc[c] / by); }
    }
}
