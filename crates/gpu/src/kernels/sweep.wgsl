// A query row an invocation; keys and values are staged tile by tile, SWEEPS times. The kernel's own file has `begin` (of a
// query), `settle` (of a staged key), `score`, `gather` (of a score, before the last sweep), `weigh` (of a score, in the last),
// and `share`, which the weighed values are multiplied by.
var<workgroup> keys: array<array<f32, DH>, TILE>;
var<workgroup> values: array<array<f32, DH>, TILE>;
var<private> q: array<f32, DH>;
var<private> top: f32 = -3.0e38;
var<private> sum: f32 = 0.0;

fn product_with(j: u32) -> f32 {
    var s = 0.0;
    for (var c = 0u; c < DH; c++) { s = fma(q[c], keys[j][c], s); }
    return s;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = head_of(group.y);
    let base = group.z * TOKENS * STRIDE + head * DH;
    let row = group.x * LANES + lane;
    let live = row < TOKENS;
    var acc: array<f32, DH>;
    if live {
        for (var c = 0u; c < DH; c++) { q[c] = f32(qkv[base + row * STRIDE + c]); }
        begin();
    }
    for (var sweep = 0u; sweep < SWEEPS; sweep++) {
        for (var start = 0u; start < TOKENS; start += TILE) {
            let count = min(TILE, TOKENS - start);
            workgroupBarrier();
            for (var i = lane; i < count * DH; i += LANES) {
                let at = base + (start + i / DH) * STRIDE + i % DH;
                keys[i / DH][i % DH] = f32(qkv[at + KEYS_AT]);
                values[i / DH][i % DH] = f32(qkv[at + VALUES_AT]);
            }
            workgroupBarrier();
            if SETTLES == 1u {
                if lane < count { settle(lane); }
                workgroupBarrier();
            }
            for (var j = 0u; j < count; j++) {
                let s = score(j);
                if sweep + 1u < SWEEPS {
                    gather(s);
                } else {
                    let p = weigh(s);
                    for (var c = 0u; c < DH; c++) { acc[c] = fma(p, values[j][c], acc[c]); }
                }
            }
        }
    }
    if live {
        let by = share();
        let to = ((group.z * TOKENS + row) * HEADS + head) * DH;
        for (var c = 0u; c < DH; c++) { result[to + c] = T(acc[c] * by); }
    }
}
