// A query row a thread; keys and values are staged tile by tile. Softmax keeps a running maximum: what was summed below an
// older one is scaled when a larger score comes.
constexpr float WINDOW = 24.0f;

KERNEL run(PARAMETERS) {
    SHARED(float, keys, TILE * DH);
    SHARED(float, values, TILE * DH);
    SHARED(u32, again, 1);
    const u32 lane = thread_index(), head = head_of(block_y());
    const u32 row = block_x() * LANES + lane;
    const float phi = phi_of(block_y());
    const bool live = row < TOKENS;
    u32 kind = kind_of(block_y());
    qkv += (u64)block_z() * TOKENS * STRIDE;
    const float open = live ? gate_of(qkv + row * STRIDE, head) : 0.0f;
    qkv += head * DH;
    float q[DH], acc[DH], sum = 0.0f;
#pragma unroll
    for (u32 c = 0; c < DH; c++) q[c] = live ? load(qkv[row * STRIDE + c]) * SCALE : 0.0f;
    for (u32 turn = 0; turn < 2; turn++) {
#pragma unroll
        for (u32 c = 0; c < DH; c++) acc[c] = 0.0f;
        float top = -3.0e38f; // running maximum, or running exponent
        bool outside = false;
        sum = 0.0f;
        if (lane == 0) again[0] = 0;
        for (u32 start = 0; start < TOKENS; start += TILE) {
            sync_block();
            for (u32 i = lane; i < TILE * DH; i += LANES) {
                const u32 token = start + i / DH;
                if (token >= TOKENS) continue;
                keys[i] = load(qkv[token * STRIDE + HEADS * DH + i % DH]);
                values[i] = load(qkv[token * STRIDE + 2 * HEADS * DH + i % DH]);
            }
            sync_block();
            const u32 count = TOKENS - start < TILE ? TOKENS - start : TILE;
            for (u32 j = 0; j < count; j++) {
                float s = 0.0f;
#pragma unroll
                for (u32 c = 0; c < DH; c++) s += q[c] * keys[j * DH + c];
                float p = s, factor = 1.0f;
                if (kind == SOFTMAX) {
                    if (s > top) { factor = exponential(top - s); top = s; }
                    p = exponential(s - top);
                } else if (kind == TWO_PASS) {
                    const float n = nearest(s * LOG2_E);
                    if (n > top) { factor = power_of_two(top - n); top = n; }
                    p = mantissa(s * LOG2_E - n) * power_of_two(n - top);
                } else if (kind == UNIFIED) {
                    outside = outside || s - phi > WINDOW || phi - s > WINDOW;
                    p = exponential(s - phi);
                } else if (kind == RELU) p = s > 0.0f ? s : 0.0f;
                else if (kind == SIGMOID) p = 1.0f / (1.0f + (float)TOKENS * exponential(-s));
                else if (kind == SOFTPLUS) p = (s > 0.0f ? s : 0.0f) + logarithm(1.0f + exponential(s > 0.0f ? -s : s));
                else if (kind == STABLEMAX) p = s >= 0.0f ? s + 1.0f : 1.0f / (1.0f - s);
                sum = sum * factor + p;
#pragma unroll
                for (u32 c = 0; c < DH; c++) acc[c] = acc[c] * factor + p * values[j * DH + c];
            }
        }
        if (kind != UNIFIED) break;
        if (live && outside) again[0] = 1;
        sync_block();
        const bool over = again[0] == 0;
        sync_block();
        if (over) break;
        kind = SOFTMAX;
    }
    const float by = kind == LINEAR ? (float)TOKENS : kind == RELU ? sum + RELU_EPS : kind == SIGMOID ? 1.0f : sum;
    if (live) {
        result += (((u64)block_z() * TOKENS + row) * HEADS + head) * DH;
#pragma unroll
        for (u32 c = 0; c < DH; c++) result[c] = store(acc[c] / by * open);
    }
}
