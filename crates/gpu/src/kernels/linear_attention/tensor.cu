// On tensor cores: a block has a head of an input. Its warps make the state K^T V / N in shared memory, 16 rows of it at a time,
// then the result of 16 rows at a time.
constexpr u32 PITCH = DH + 8, TILES = (TOKENS + 15) / 16;

KERNEL run(PARAMETERS) {
    DYNAMIC(memory);
    u16 *keys = (u16 *)memory, *values = keys + TILES * 16 * PITCH, *state = values + TILES * 16 * PITCH;
    const u32 thread = thread_index(), lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;
    const u32 head = head_of(block_y()), stride = 3 * HEADS * DH;
    qkv += (u64)block_z() * TOKENS * stride + head * DH;
    result += ((u64)block_z() * TOKENS * HEADS + head) * DH;
#pragma unroll 2
    for (u32 i = thread; i < TILES * 16 * (DH / 8); i += WARPS * 32) {
        const u32 row = i / (DH / 8), column = i % (DH / 8) * 8;
        const bool inside = row < TOKENS;
        const T *from = qkv + (u64)(inside ? row : 0) * stride + HEADS * DH + column;
        copy_16(keys + row * PITCH + column, from, inside);
        copy_16(values + row * PITCH + column, from + HEADS * DH, inside);
    }
    end_copies();
    await_copies<0>();
    sync_block();
    for (u32 tile = warp; tile < DH / 16; tile += WARPS) {
        float acc[DH / 8][4] = {};
        for (u32 n = 0; n < TILES; n++) {
            u32 k[4];
            read_tiles_transposed(k, keys + (n * 16 + lane % 8 + lane / 16 * 8) * PITCH + tile * 16 + lane / 8 % 2 * 8);
#pragma unroll
            for (u32 d = 0; d < DH / 16; d++) {
                u32 b[4];
                read_tiles_transposed(b, values + (n * 16 + lane % 16) * PITCH + d * 16 + lane / 16 * 8);
                multiply_add(acc[2 * d], k, b[0], b[1]);
                multiply_add(acc[2 * d + 1], k, b[2], b[3]);
            }
        }
        // Divided here, so that a half holds it.
#pragma unroll
        for (u32 r = 0; r < 2; r++)
#pragma unroll
            for (u32 d = 0; d < DH / 8; d++)
                *(u32 *)(state + (tile * 16 + g + 8 * r) * PITCH + d * 8 + 2 * t) =
                    pair(acc[d][2 * r] / (float)TOKENS, acc[d][2 * r + 1] / (float)TOKENS);
    }
    sync_block();
    // The keys have been read by all.
    u16 *mine = keys + warp * 16 * PITCH;
    for (u32 tile = warp; tile < TILES; tile += WARPS) {
        const u32 rows[2] = {tile * 16 + g, tile * 16 + g + 8};
        float acc[DH / 8][4] = {};
#pragma unroll
        for (u32 n = 0; n < DH / 16; n++) {
            u32 q[4];
#pragma unroll
            for (u32 e = 0; e < 4; e++)
                q[e] = rows[e % 2] < TOKENS ? *(const u32 *)(qkv + (u64)rows[e % 2] * stride + n * 16 + 2 * t + 8 * (e / 2)) : 0;
#pragma unroll
            for (u32 d = 0; d < DH / 16; d++) {
                u32 b[4];
                read_tiles_transposed(b, state + (n * 16 + lane % 16) * PITCH + d * 16 + lane / 16 * 8);
                multiply_add(acc[2 * d], q, b[0], b[1]);
                multiply_add(acc[2 * d + 1], q, b[2], b[3]);
            }
        }
#pragma unroll
        for (u32 r = 0; r < 2; r++)
#pragma unroll
            for (u32 d = 0; d < DH / 8; d++)
                *(u32 *)(mine + (g + 8 * r) * PITCH + d * 8 + 2 * t) = pair(acc[d][2 * r] * SCALE, acc[d][2 * r + 1] * SCALE);
        sync_warp();
#pragma unroll
        for (u32 i = lane; i < 16 * (DH / 8); i += 32) {
            const u32 row = tile * 16 + i / (DH / 8), column = i % (DH / 8) * 8;
            if (row < TOKENS) *(Sixteen *)(result + (u64)row * HEADS * DH + column) = *(const Sixteen *)(mine + i / (DH / 8) * PITCH + column);
        }
        sync_warp();
    }
}
