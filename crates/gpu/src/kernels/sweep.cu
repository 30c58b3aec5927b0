// A query row a thread; keys and values are staged tile by tile, SWEEPS times. What is the kernel's own is in its file.
struct Row { float q[DH], top, sum; };
DEVICE void begin(Row &row);
DEVICE void settle(float *key);
DEVICE float score(const Row &row, const float *key);
DEVICE void gather(Row &row, float s);
DEVICE float weigh(Row &row, float s);
DEVICE float share(const Row &row);

DEVICE float product_with(const Row &row, const float *key) {
    float s = 0.0f;
#pragma unroll
    for (u32 c = 0; c < DH; c++) s += row.q[c] * key[c];
    return s;
}

KERNEL run(PARAMETERS) {
    SHARED(float, keys, TILE * DH);
    SHARED(float, values, TILE * DH);
    const u32 lane = thread_index(), head = head_of(block_y()), at = block_x() * LANES + lane;
    const bool live = at < TOKENS;
    qkv += (u64)block_z() * TOKENS * STRIDE + head * DH;
    Row row;
    float acc[DH];
    row.top = -3.0e38f, row.sum = 0.0f;
#pragma unroll
    for (u32 c = 0; c < DH; c++) row.q[c] = live ? load(qkv[at * STRIDE + c]) : 0.0f, acc[c] = 0.0f;
    begin(row);
#pragma unroll
    for (u32 sweep = 0; sweep < SWEEPS; sweep++)
        for (u32 start = 0; start < TOKENS; start += TILE) {
            const u32 count = TOKENS - start < TILE ? TOKENS - start : TILE;
            sync_block();
            for (u32 i = lane; i < count * DH; i += LANES) {
                const T *from = qkv + (start + i / DH) * STRIDE + i % DH;
                keys[i] = load(from[KEYS_AT]);
                values[i] = load(from[VALUES_AT]);
            }
            sync_block();
            if (SETTLES) {
                if (lane < count) settle(keys + lane * DH);
                sync_block();
            }
            for (u32 j = 0; j < count; j++) {
                const float s = score(row, keys + j * DH);
                if (sweep + 1 < SWEEPS) {
                    gather(row, s);
                    continue;
                }
                const float p = weigh(row, s);
#pragma unroll
                for (u32 c = 0; c < DH; c++) acc[c] += p * values[j * DH + c];
            }
        }
    if (live) {
        const float by = share(row);
        result += (((u64)block_z() * TOKENS + at) * HEADS + head) * DH;
#pragma unroll
        for (u32 c = 0; c < DH; c++) result[c] = store(acc[c] * by);
    }
}
