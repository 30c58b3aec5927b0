// Y = finish(X W^T) over ROWS x OUTPUTS, INPUTS deep, for any `x_at`, `w_at` and `finish`. A workgroup makes a tile of
// 64 x 64, an invocation 4 x 4 of it with 16 between neighbours, so that invocations beside each other read beside each other.
const SIDE = 64u;
const DEPTH = 16u;
// A row more, so that no two rows of a column share a bank.
var<workgroup> xs: array<f32, 1040>; // DEPTH x (SIDE + 1)
var<workgroup> ws: array<f32, 1040>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let top = group.y * SIDE;
    let left = group.x * SIDE;
    let index = lane.y * 16u + lane.x;
    var sums: array<vec4<f32>, 4>;
    for (var start = 0u; start < INPUTS; start += DEPTH) {
        for (var i = index; i < SIDE * DEPTH; i += 256u) {
            let at = i / DEPTH;
            let k = i % DEPTH;
            let inside = start + k < INPUTS;
            var x = 0.0;
            if inside && top + at < ROWS { x = x_at(top + at, start + k); }
            xs[k * (SIDE + 1u) + at] = x;
            var w = 0.0;
            if inside && left + at < OUTPUTS { w = w_at(left + at, start + k); }
            ws[k * (SIDE + 1u) + at] = w;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let x = k * (SIDE + 1u) + lane.y;
            let w = k * (SIDE + 1u) + lane.x;
            let columns = vec4(ws[w], ws[w + 16u], ws[w + 32u], ws[w + 48u]);
            sums[0] = fma(vec4(xs[x]), columns, sums[0]);
            sums[1] = fma(vec4(xs[x + 16u]), columns, sums[1]);
            sums[2] = fma(vec4(xs[x + 32u]), columns, sums[2]);
            sums[3] = fma(vec4(xs[x + 48u]), columns, sums[3]);
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let row = top + lane.y + 16u * i;
        if row < ROWS {
            for (var j = 0u; j < 4u; j++) {
                let column = left + lane.x + 16u * j;
                if column < OUTPUTS { finish(row, column, sums[i][j]); }
            }
        }
    }
}
