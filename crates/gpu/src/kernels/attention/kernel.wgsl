// A query row an invocation; keys and values are staged tile by tile. Softmax keeps a running maximum: what was summed
// below an older one is scaled when a larger score comes.
const WINDOW = 24.0;
const LOG2_E = 1.44269504;
var<workgroup> keys: array<array<f32, DH>, TILE>;
var<workgroup> values: array<array<f32, DH>, TILE>;
var<workgroup> again: u32;

// 2^f on [-1/2, 1/2]: within 2.4e-6 of itself.
fn mantissa(f: f32) -> f32 {
    return fma(fma(fma(fma(fma(0.0013333558, f, 0.0096181291), f, 0.0555041087), f, 0.2402265070), f, 0.6931471806), f, 1.0);
}
// 2^n for whole n up to 127, exactly; 2^-126 below.
fn power_of_two(n: f32) -> f32 { return bitcast<f32>(u32(i32(max(n, -126.0)) + 127) << 23u); }
fn softplus(x: f32) -> f32 { return max(x, 0.0) + log(1.0 + exp(-abs(x))); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let mine = head_of(group.y);
    let head = mine.x;
    let phi = phi_of(group.y);
    let base = group.z * TOKENS * STRIDE + head * DH;
    let row = group.x * LANES + lane;
    let live = row < TOKENS;
    var kind = mine.y;
    var q: array<f32, DH>;
    var acc: array<f32, DH>;
    if live { for (var c = 0u; c < DH; c++) { q[c] = f32(qkv[base + row * STRIDE + c]) * SCALE; } }
    var sum = 0.0;
    for (var turn = 0u; turn < 2u; turn++) {
        for (var c = 0u; c < DH; c++) { acc[c] = 0.0; }
        var top = -3.0e38; // running maximum, or running exponent
        var outside = false;
        sum = 0.0;
        if lane == 0u { again = 0u; }
        for (var start = 0u; start < TOKENS; start += TILE) {
            workgroupBarrier();
            for (var i = lane; i < TILE * DH; i += LANES) {
                let token = start + i / DH;
                if token < TOKENS {
                    let at = base + token * STRIDE + i % DH;
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
                } else if kind == TWO_PASS {
                    let n = round(s * LOG2_E);
                    if n > top {
                        let factor = power_of_two(top - n);
                        for (var c = 0u; c < DH; c++) { acc[c] *= factor; }
                        sum *= factor;
                        top = n;
                    }
                    p = mantissa(fma(s, LOG2_E, -n)) * power_of_two(n - top);
                } else if kind == UNIFIED {
                    outside = outside || abs(s - phi) > WINDOW;
                    p = exp(s - phi);
                } else if kind == RELU {
                    p = max(s, 0.0);
                } else if kind == SIGMOID {
                    p = 1.0 / (1.0 + f32(TOKENS) * exp(-s));
                } else if kind == SOFTPLUS {
                    p = softplus(s);
                } else if kind == STABLEMAX {
                    p = select(1.0 / (1.0 - min(s, 0.0)), s + 1.0, s >= 0.0);
                }
                sum += p;
                for (var c = 0u; c < DH; c++) { acc[c] = fma(p, values[j][c], acc[c]); }
            }
        }
        if kind != UNIFIED { break; }
        if live && outside { again = 1u; }
        if workgroupUniformLoad(&again) == 0u { break; }
        kind = SOFTMAX;
    }
    var by = sum;
    if kind == RELU { by = sum + RELU_EPS; }
    if kind == LINEAR { by = f32(TOKENS); }
    if kind == SIGMOID { by = 1.0; }
    if live {
        let open = gate_of((group.z * TOKENS + row) * STRIDE, head);
        let to = ((group.z * TOKENS + row) * HEADS + head) * DH;
        for (var c = 0u; c < DH; c++) { result[to + c] = T(acc[c] / by * open); }
    }
}
