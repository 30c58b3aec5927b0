// A query row a thread; keys and values are staged tile by tile. Softmax keeps a running maximum: what was summed below an
// older one is scaled when a larger score comes.
KERNEL run(PARAMETERS) {
    SHARED(float, keys, TILE * DH);
    SHARED(float, values, TILE * DH);
    const u32 lane = thread_index(), head = head_of(block_y()), kind = kind_of(block_y());
    const u32 stride = 3 * HEADS * DH, row = block_x() * LANES + lane;
    const bool live = row < TOKENS;
    qkv += (u64)block_z() * TOKENS * stride + head * DH;
    float q[DH], acc[DH];
#pragma unroll
    for (u32 c = 0; c < DH; c++) {
        q[c] = live ? load(qkv[row * stride + c]) * SCALE : 0.0f;
        acc[c] = 0.0f;
    }
    float top = -3.0e38f, sum = 0.0f;
    for (u32 start = 0; start < TOKENS; start += TILE) {
        sync_block();
        for (u32 i = lane; i < TILE * DH; i += LANES) {
            const u32 token = start + i / DH;
            if (token >= TOKENS) continue;
            keys[i] = load(qkv[token * stride + HEADS * DH + i % DH]);
            values[i] = load(qkv[token * stride + 2 * HEADS * DH + i % DH]);
        }
        sync_block();
        const u32 count = TOKENS - start < TILE ? TOKENS - start : TILE;
        for (u32 j = 0; j < count; j++) {
            float s = 0.0f;
#pragma unroll
            for (u32 c = 0; c < DH; c++) s += q[c] * keys[j * DH + c];
            float p = s;
            if (kind == SOFTMAX) {
                if (s > top) {
                    const float factor = exponential(top - s);
#pragma unroll
                    for (u32 c = 0; c < DH; c++) acc[c] *= factor;
                    sum *= factor;
                    top = s;
                }
                p = exponential(s - top);
            } else if (kind == RELU) p = s > 0.0f ? s : 0.0f;
            sum += p;
#pragma unroll
            for (u32 c = 0; c < DH; c++) acc[c] += p * values[j * DH + c];
        }
    }
    const float by = kind == LINEAR ? (float)TOKENS : kind == RELU ? sum + RELU_EPS : sum;
    if (live) {
        result += (((u64)block_z() * TOKENS + row) * HEADS + head) * DH;
#pragma unroll
        for (u32 c = 0; c < DH; c++) result[c] = store(acc[c] / by);
    }
}
