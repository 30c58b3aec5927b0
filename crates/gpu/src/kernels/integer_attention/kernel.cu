// A query row a thread, in whole numbers; keys and values are staged tile by tile, three times: for the largest score, the sum
// of the exponentials, and the weighed values. Queries and keys are four bytes a word.
constexpr u32 QUADS = (DH + 3) / 4;
constexpr int SHIFTS = 15;

DEVICE u32 quad(const T *row, u32 c) {
    u32 word = 0;
#pragma unroll
    for (u32 i = 0; i < 4; i++)
        if (c + i < DH) word |= ((u32)(int)load(row[c + i]) & 0xffu) << (8 * i);
    return word;
}
// floor(x by / 2^shift + 1/2), as a byte.
DEVICE int rescale(int x, u32 by, u32 shift) {
    const u32 low = (((u32)x & 0xffffu) * by) >> 16;
    const int sum = (x >> 16) * (int)by + (int)low + (1 << (shift - 17)), y = sum >> (shift - 16);
    return y < -128 ? -128 : y > 127 ? 127 : y;
}
// e^(x / UNIT), times UNIT 2^15, for x up to 0: x log2 e by shifts, whole powers of two by a shift, the rest by a line.
DEVICE int shift_exp(int x) {
    constexpr int unit = UNIT;
    int y = x + (x >> 1) - (x >> 4);
    y = y > -SHIFTS * unit ? y : -SHIFTS * unit;
    const int n = -y / unit;
    return ((y + unit * n + 2 * unit) << (SHIFTS - n)) >> 1;
}

KERNEL run(PARAMETERS) {
    SHARED(u32, keys, TILE * QUADS);
    SHARED(int, values, TILE * DH);
    const u32 lane = thread_index(), head = head_of(block_y()), row = block_x() * LANES + lane;
    const bool live = row < TOKENS;
    qkv += (u64)block_z() * TOKENS * STRIDE + head * DH;
    u32 q[QUADS];
    int acc[DH] = {}, top = -128, sum = 0;
#pragma unroll
    for (u32 i = 0; i < QUADS; i++) q[i] = live ? quad(qkv + row * STRIDE, 4 * i) : 0;
#pragma unroll
    for (u32 sweep = 0; sweep < 3; sweep++) {
        // At least one exponential is 2^15 and more.
        const int factor = 0x7fffffff / (sum > 1 ? sum : 1);
        for (u32 start = 0; start < TOKENS; start += TILE) {
            const u32 count = TOKENS - start < TILE ? TOKENS - start : TILE;
            sync_block();
            for (u32 i = lane; i < count * QUADS; i += LANES)
                keys[i] = quad(qkv + (start + i / QUADS) * STRIDE + HEADS * DH, i % QUADS * 4);
            for (u32 i = lane; i < count * DH; i += LANES)
                values[i] = (int)load(qkv[(start + i / DH) * STRIDE + 2 * HEADS * DH + i % DH]);
            sync_block();
            for (u32 j = 0; j < count; j++) {
                int product = 0;
#pragma unroll
                for (u32 i = 0; i < QUADS; i++) product = dot_bytes(q[i], keys[j * QUADS + i], product);
                const int s = rescale(product, SCORE_BY, SCORE_SHIFT);
                if (sweep == 0) top = s > top ? s : top;
                else if (sweep == 1) sum += shift_exp(s - top);
                else {
                    const int p = (shift_exp(s - top) * factor) >> 24;
#pragma unroll
                    for (u32 c = 0; c < DH; c++) acc[c] += p * values[j * DH + c];
                }
            }
        }
    }
    if (live) {
        result += (((u64)block_z() * TOKENS + row) * HEADS + head) * DH;
#pragma unroll
        for (u32 c = 0; c < DH; c++) result[c] = store((float)rescale(acc[c], RESULT_BY, RESULT_SHIFT));
    }
}
