// A workgroup a head, an invocation some of its columns. Tile t is in part ((t + 1) PARTS - 1) / LINE.
const LINE = HEADS * TILES;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.y;
    let first = ((head * TILES + 1u) * PARTS - 1u) / LINE;
    let last = ((head + 1u) * TILES * PARTS - 1u) / LINE;
    let base = (group.z * (PARTS + HEADS) + head) * (DH + 2u);
    var top = -3.0e38;
    for (var part = first; part <= last; part++) { top = max(top, f32(parts[base + part * (DH + 2u) + DH])); }
    for (var c = lane; c < DH; c += LANES) {
        var sum = 0.0;
        var value = 0.0;
        for (var part = first; part <= last; part++) {
            let at = base + part * (DH + 2u);
            let p = f32(parts[at + DH + 1u]) * exp(f32(parts[at + DH]) - top);
            sum += p;
            value = fma(p, f32(parts[at + c]), value);
        }
        result[(group.z * HEADS + head) * DH + c] = T(value / sum);
    }
}
