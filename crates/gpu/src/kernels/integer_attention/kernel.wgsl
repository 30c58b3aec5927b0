// A query row an invocation, in whole numbers; keys and values are staged tile by tile, three times: for the largest score, the
// sum of the exponentials, and the weighed values. Queries and keys are four bytes a word.
const QUADS = (DH + 3u) / 4u;
const SHIFTS = 15;
var<workgroup> keys: array<array<u32, QUADS>, TILE>;
var<workgroup> values: array<array<i32, DH>, TILE>;

fn quad(at: u32, c: u32) -> u32 {
    var word = 0u;
    for (var i = 0u; i < 4u; i++) {
        if c + i < DH { word |= (u32(i32(qkv[at + c + i])) & 0xffu) << (8u * i); }
    }
    return word;
}
// floor(x by / 2^shift + 1/2), as a byte.
fn rescale(x: i32, by: u32, shift: u32) -> i32 {
    let low = ((u32(x) & 0xffffu) * by) >> 16u;
    let sum = (x >> 16u) * i32(by) + i32(low) + i32(1u << (shift - 17u));
    return clamp(sum >> (shift - 16u), -128, 127);
}
// e^(x / UNIT), times UNIT 2^15, for x up to 0: x log2 e by shifts, whole powers of two by a shift, the rest by a line.
fn shift_exp(x: i32) -> i32 {
    let unit = i32(UNIT);
    let y = max(x + (x >> 1u) - (x >> 4u), -SHIFTS * unit);
    let n = (-y) / unit;
    return ((y + unit * n + 2 * unit) << u32(SHIFTS - n)) >> 1u;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = head_of(group.y);
    let base = group.z * TOKENS * STRIDE + head * DH;
    let row = group.x * LANES + lane;
    let live = row < TOKENS;
    var q: array<u32, QUADS>;
    var acc: array<i32, DH>;
    if live { for (var i = 0u; i < QUADS; i++) { q[i] = quad(base + row * STRIDE, 4u * i); } }
    var top = -128;
    var sum = 0;
    for (var sweep = 0u; sweep < 3u; sweep++) {
        // At least one exponential is 2^15 and more.
        let factor = 0x7fffffff / max(sum, 1);
        for (var start = 0u; start < TOKENS; start += TILE) {
            let count = min(TILE, TOKENS - start);
            workgroupBarrier();
            for (var i = lane; i < count * QUADS; i += LANES) {
                keys[i / QUADS][i % QUADS] = quad(base + (start + i / QUADS) * STRIDE + HEADS * DH, i % QUADS * 4u);
            }
            for (var i = lane; i < count * DH; i += LANES) {
                values[i / DH][i % DH] = i32(qkv[base + (start + i / DH) * STRIDE + 2u * HEADS * DH + i % DH]);
            }
            workgroupBarrier();
            for (var j = 0u; j < count; j++) {
                var product = 0;
                for (var i = 0u; i < QUADS; i++) { product += dot4I8Packed(q[i], keys[j][i]); }
                let s = rescale(product, SCORE_BY, SCORE_SHIFT);
                if sweep == 0u {
                    top = max(top, s);
                } else if sweep == 1u {
                    sum += shift_exp(s - top);
                } else {
                    let p = (shift_exp(s - top) * factor) >> 24u;
                    for (var c = 0u; c < DH; c++) { acc[c] += p * values[j][c]; }
                }
            }
        }
    }
    if live {
        let to = ((group.z * TOKENS + row) * HEADS + head) * DH;
        for (var c = 0u; c < DH; c++) { result[to + c] = T(rescale(acc[c], RESULT_BY, RESULT_SHIFT)); }
    }
}
