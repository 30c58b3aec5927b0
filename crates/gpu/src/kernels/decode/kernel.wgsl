// A workgroup has a part of the line of all heads' tiles of keys; its run in a head goes to place part + head.
const LINE = HEADS * TILES;
const SHARE = (DH + LANES - 1u) / LANES;
var<workgroup> query: array<f32, DH>;
var<workgroup> keys: array<array<f32, DH>, TILE>;
var<workgroup> weights: array<f32, TILE>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.z * (1u + 2u * TOKENS) * HEADS * DH;
    let end = (group.x + 1u) * LINE / PARTS;
    var at = group.x * LINE / PARTS;
    while at < end {
        let head = at / TILES;
        let stop = min(end, (head + 1u) * TILES);
        var acc = array<f32, SHARE>();
        var top = -3.0e38;
        var sum = 0.0;
        workgroupBarrier();
        for (var c = lane; c < DH; c += LANES) { query[c] = f32(qkv[base + head * DH + c]) * SCALE; }
        for (; at < stop; at++) {
            let start = (at - head * TILES) * TILE;
            let count = min(TILE, TOKENS - start);
            // Of token j, keys are row 1 + 2 j and values the next.
            let here = base + ((1u + 2u * start) * HEADS + head) * DH;
            workgroupBarrier();
            for (var i = lane; i < count * DH; i += LANES) {
                keys[i / DH][i % DH] = f32(qkv[here + i / DH * 2u * HEADS * DH + i % DH]);
            }
            workgroupBarrier();
            if lane < count {
                var s = 0.0;
                for (var c = 0u; c < DH; c++) { s = fma(query[c], keys[lane][c], s); }
                weights[lane] = s;
            }
            workgroupBarrier();
            var now = top;
            for (var j = 0u; j < count; j++) { now = max(now, weights[j]); }
            workgroupBarrier();
            if lane < count { weights[lane] = exp(weights[lane] - now); }
            workgroupBarrier();
            let factor = exp(top - now);
            top = now;
            sum *= factor;
            for (var k = 0u; k < SHARE; k++) { acc[k] *= factor; }
            for (var j = 0u; j < count; j++) {
                let p = weights[j];
                sum += p;
                for (var k = 0u; k < SHARE; k++) {
                    let c = lane + k * LANES;
                    if c < DH { acc[k] = fma(p, f32(qkv[here + (2u * j + 1u) * HEADS * DH + c]), acc[k]); }
                }
            }
        }
        let to = ((group.z * (PARTS + HEADS)) + group.x + head) * (DH + 2u);
        for (var k = 0u; k < SHARE; k++) {
            let c = lane + k * LANES;
            if c < DH { result[to + c] = T(acc[k] / sum); }
        }
        if lane == 0u {
            let log_sum = log(sum);
            let stored = f32(T(top + log_sum));
            result[to + DH] = T(stored);
            result[to + DH + 1u] = T(exp(top - stored + log_sum));
        }
    }
}
