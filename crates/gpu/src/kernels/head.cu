// What kernels of a head on tensor cores share: TOKENS rows of queries, keys and values, DH wide each, of HEADS heads, STRIDE apart;
// rows in shared memory are PITCH apart, so that no tile's rows share banks.
constexpr u32 PITCH = DH + 8;

// Begins copies of keys and values from row `start` on, COUNT of them, to shared memory; zeros behind the last row.
template <u32 COUNT> DEVICE void fetch_rows(u16 *keys, u16 *values, const T *qkv, u32 start) {
#pragma unroll 2
    for (u32 i = thread_index(); i < COUNT * (DH / 8); i += WARPS * 32) {
        const u32 row = i / (DH / 8), column = i % (DH / 8) * 8;
        const bool inside = start + row < TOKENS;
        const T *from = qkv + (u64)(inside ? start + row : 0) * STRIDE + HEADS * DH + column;
        copy_16(keys + row * PITCH + column, from, inside);
        copy_16(values + row * PITCH + column, from + HEADS * DH, inside);
    }
    end_copies();
}

// 16 rows of queries, 16 columns of them, as a left factor.
DEVICE void read_queries(u32 (&q)[4], const T *qkv, u32 tile, u32 columns) {
    const u32 lane = thread_index() % 32;
#pragma unroll
    for (u32 e = 0; e < 4; e++) {
        const u32 row = tile * 16 + lane / 4 + 8 * (e % 2);
        q[e] = row < TOKENS ? *(const u32 *)(qkv + (u64)row * STRIDE + columns + 2 * (lane % 4) + 8 * (e / 2)) : 0;
    }
}

// acc += a rows, of 16 x 16 and the 16 x DH that begin at `rows` in shared memory.
DEVICE void add_rows(float (&acc)[DH / 8][4], const u32 (&a)[4], const u16 *rows) {
    const u32 lane = thread_index() % 32;
#pragma unroll
    for (u32 d = 0; d < DH / 16; d++) {
        u32 b[4];
        read_tiles_transposed(b, rows + lane % 16 * PITCH + d * 16 + lane / 16 * 8);
        multiply_add(acc[2 * d], a, b[0], b[1]);
        multiply_add(acc[2 * d + 1], a, b[2], b[3]);
    }
}

// 16 rows of DH sums to shared memory as halves, the first eight times `upper`, the others times `lower`.
DEVICE void put_rows(u16 *to, const float (&acc)[DH / 8][4], float upper, float lower) {
    const u32 lane = thread_index() % 32;
#pragma unroll
    for (u32 r = 0; r < 2; r++)
#pragma unroll
        for (u32 d = 0; d < DH / 8; d++)
            *(u32 *)(to + (lane / 4 + 8 * r) * PITCH + d * 8 + 2 * (lane % 4)) =
                pair(acc[d][2 * r] * (r ? lower : upper), acc[d][2 * r + 1] * (r ? lower : upper));
}

// The same to the result, through 16 rows of shared memory that are the warp's own, so that rows are written whole.
DEVICE void write_rows(T *result, u16 *own, u32 tile, const float (&acc)[DH / 8][4], float upper, float lower) {
    put_rows(own, acc, upper, lower);
    sync_warp();
#pragma unroll
    for (u32 i = thread_index() % 32; i < 16 * (DH / 8); i += 32) {
        const u32 row = tile * 16 + i / (DH / 8), column = i % (DH / 8) * 8;
        if (row < TOKENS) *(Sixteen *)(result + (u64)row * HEADS * DH + column) = *(const Sixteen *)(own + i / (DH / 8) * PITCH + column);
    }
    sync_warp();
}
