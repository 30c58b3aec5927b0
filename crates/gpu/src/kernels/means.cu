// A block makes COLUMNS columns of a head's state f(K)^T V, with a row below them for the sums of V and a column beside them for
// those of f(K); then their part of every row's result.
constexpr u32 WIDE = COLUMNS + 1;

KERNEL run(PARAMETERS) {
    SHARED(float, state, (DH + 1) * WIDE);
    const u32 lane = thread_index(), head = head_of(block_y()), left = block_x() * COLUMNS;
    const u32 count = DH - left < COLUMNS ? DH - left : COLUMNS;
    qkv += (u64)block_z() * TOKENS * STRIDE + head * DH;
    for (u32 i = lane; i < (DH + 1) * WIDE; i += LANES) {
        const u32 r = i / WIDE, c = i % WIDE;
        float sum = 0.0f;
        if (c < count || c == COLUMNS)
            for (u32 j = 0; j < TOKENS; j++) {
                const T *row = qkv + j * STRIDE;
                const float k = r < DH ? feature(load(row[HEADS * DH + r])) : 1.0f;
                sum += k * (c < COLUMNS ? load(row[2 * HEADS * DH + left + c]) : 1.0f);
            }
        state[i] = sum;
    }
    sync_block();
    for (u32 row = lane; row < TOKENS; row += LANES) {
        float sums[WIDE] = {};
        for (u32 r = 0; r < DH; r++) {
            const float q = feature(load(qkv[row * STRIDE + r]));
#pragma unroll
            for (u32 c = 0; c < WIDE; c++) sums[c] += q * state[r * WIDE + c];
        }
        T *to = result + (((u64)block_z() * TOKENS + row) * HEADS + head) * DH + left;
#pragma unroll
        for (u32 c = 0; c < COLUMNS; c++)
            if (c < count) to[c] = store(finish(sums[c] * SCALE, sums[COLUMNS] * SCALE, state[DH * WIDE + c] / (float)TOKENS));
    }
}
