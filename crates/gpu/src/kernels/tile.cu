// Y = FINISH(X W^T) over ROWS x OUTPUTS, INPUTS deep, for any X_AT, W_AT and FINISH. A block of 256 threads makes a tile of
// 64 x 64, a thread 4 x 4 of it with 16 between neighbours. On plain cores, so that every format is exact to its storage.
constexpr u32 SIDE = 64, DEPTH = 16;

KERNEL run(PARAMETERS) {
    // A row more, so that no two rows of a column share a bank.
    SHARED(float, xs, DEPTH * (SIDE + 1));
    SHARED(float, ws, DEPTH * (SIDE + 1));
    const u32 index = thread_index(), across = index % 16, down = index / 16;
    const u32 top = block_y() * SIDE, left = block_x() * SIDE;
    float sums[4][4] = {};
    for (u32 start = 0; start < INPUTS; start += DEPTH) {
        for (u32 i = index; i < SIDE * DEPTH; i += 256) {
            const u32 at = i / DEPTH, k = i % DEPTH;
            const bool inside = start + k < INPUTS;
            xs[k * (SIDE + 1) + at] = inside && top + at < ROWS ? X_AT(top + at, start + k) : 0.0f;
            ws[k * (SIDE + 1) + at] = inside && left + at < OUTPUTS ? W_AT(left + at, start + k) : 0.0f;
        }
        sync_block();
#pragma unroll
        for (u32 k = 0; k < DEPTH; k++)
#pragma unroll
            for (u32 i = 0; i < 4; i++)
#pragma unroll
                for (u32 j = 0; j < 4; j++)
                    sums[i][j] += xs[k * (SIDE + 1) + down + 16 * i] * ws[k * (SIDE + 1) + across + 16 * j];
        sync_block();
    }
#pragma unroll
    for (u32 i = 0; i < 4; i++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            const u32 row = top + down + 16 * i, column = left + across + 16 * j;
            if (row < ROWS && column < OUTPUTS) FINISH(row, column, sums[i][j])
        }
}
