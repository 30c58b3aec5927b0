// On tensor cores: a block has a head of an input. Its warps make the state K^T V / N in shared memory, 16 rows of it at a time,
// then the result of 16 rows at a time.
constexpr u32 TILES = (TOKENS + 15) / 16;

KERNEL run(PARAMETERS) {
    DYNAMIC(memory);
    u16 *keys = (u16 *)memory, *values = keys + TILES * 16 * PITCH, *state = values + TILES * 16 * PITCH;
    const u32 lane = thread_index() % 32, warp = thread_index() / 32, head = head_of(block_y());
    qkv += (u64)block_z() * TOKENS * STRIDE + head * DH;
    result += ((u64)block_z() * TOKENS * HEADS + head) * DH;
    fetch_rows<TILES * 16>(keys, values, qkv, 0);
    await_copies<0>();
    sync_block();
    for (u32 tile = warp; tile < DH / 16; tile += WARPS) {
        float acc[DH / 8][4] = {};
        for (u32 n = 0; n < TILES; n++) {
            u32 k[4];
            read_tiles_transposed(k, keys + (n * 16 + lane % 8 + lane / 16 * 8) * PITCH + tile * 16 + lane / 8 % 2 * 8);
            add_rows(acc, k, values + n * 16 * PITCH);
        }
        // Divided here, so that a half holds it.
        put_rows(state + tile * 16 * PITCH, acc, 1.0f / (float)TOKENS, 1.0f / (float)TOKENS);
    }
    sync_block();
    const float scale = (float)TOKENS / BY;
    for (u32 tile = warp; tile < TILES; tile += WARPS) {
        float acc[DH / 8][4] = {};
#pragma unroll
        for (u32 n = 0; n < DH / 16; n++) {
            u32 q[4];
            read_queries(q, qkv, tile, n * 16);
            add_rows(acc, q, state + n * 16 * PITCH);
        }
        // The keys have been read by all.
        write_rows(result, keys + warp * 16 * PITCH, tile, acc, scale, scale);
    }
}
