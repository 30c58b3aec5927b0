// Y = FINISH(X W^T) over ROWS x OUTPUTS, INPUTS deep, on tensor cores: halves in, sums in f32. A block makes a tile of TALL x
// WIDE. Its warps share it: where the card has products of four warps, 64 rows each four, else TALL / DOWN x WIDE / ACROSS each
// warp. X and W come to shared memory 64 deep at a time, STAGES ahead; of a row there, the eight 16-byte parts are in an order
// that depends on the row, so that no tile's rows share banks.
constexpr u32 THREADS = 32 * DOWN * ACROSS, STAGE = (TALL + WIDE) * 64, STEPS = (INPUTS + 63) / 64;
constexpr bool GROUPED = FOURS && TALL * 2 == THREADS;
// Tiles of 16 x 16 of a warp: down, across.
constexpr u32 MINE = GROUPED ? 1 : TALL / DOWN / 16, OURS = GROUPED ? WIDE / 16 : WIDE / ACROSS / 16, PITCH = WIDE + 8;
// Numbers of a row that are written at once.
constexpr u32 WRITTEN = OUTPUTS % 8 == 0 ? 8 : 2;

DEVICE u32 place(u32 row, u32 part) { return row * 64 + ((part ^ (row & 7)) << 3); }

KERNEL BOUNDED(THREADS, BLOCKS) run(PARAMETERS) {
    DYNAMIC(memory);
    u16 *stages = (u16 *)memory;
    const u32 thread = thread_index(), lane = thread % 32, warp = thread / 32;
    const u32 top = block_y() * TALL, left = block_x() * WIDE;
    const u32 down = GROUPED ? warp * 16 : warp / ACROSS * MINE * 16, across = GROUPED ? 0 : warp % ACROSS * OURS * 16;
    auto fetch = [&](u32 step) {
        u16 *xs = stages + step % STAGES * STAGE, *ws = xs + TALL * 64;
        // What lies beyond the last row or column is read again from it, and not stored.
#pragma unroll
        for (u32 n = 0; n < TALL * 8 / THREADS; n++) {
            const u32 i = n * THREADS + thread;
            const u32 row = top + i / 8 < ROWS ? top + i / 8 : ROWS - 1, k = step * 64 + i % 8 * 8;
            FETCH_X(xs + place(i / 8, i % 8), row, k, k < INPUTS)
        }
#pragma unroll
        for (u32 n = 0; n < WIDE * 8 / THREADS; n++) {
            const u32 i = n * THREADS + thread;
            const u32 column = left + i / 8 < OUTPUTS ? left + i / 8 : OUTPUTS - 1, k = step * 64 + i % 8 * 8;
            copy_16(ws + place(i / 8, i % 8), w + column * INPUTS + k, k < INPUTS);
        }
    };
#pragma unroll
    for (u32 step = 0; step + 1 < STAGES; step++) {
        if (step < STEPS) fetch(step);
        end_copies();
    }
    float sums[MINE][2 * OURS][4] = {};
#pragma unroll 1
    for (u32 step = 0; step < STEPS; step++) {
        await_copies<STAGES - 2>();
        if (GROUPED) show_copies();
        sync_block();
        const u16 *xs = stages + step % STAGES * STAGE, *ws = xs + TALL * 64;
        if (GROUPED) {
            begin_products();
#pragma unroll
            for (u32 k = 0; k < 64; k += 16) multiply_add_group(sums[0], tiles_at(xs + warp / 4 * 64 * 64 + k), tiles_at(ws + k));
        }
        // Goes where the step before this one has been read by all.
        if (step + STAGES - 1 < STEPS) fetch(step + STAGES - 1);
        end_copies();
        if (GROUPED) end_products();
#pragma unroll
        for (u32 part = 0; part < (GROUPED ? 0 : 8); part += 2) {
            u32 a[MINE][4];
#pragma unroll
            for (u32 i = 0; i < MINE; i++) read_tiles(a[i], xs + place(down + i * 16 + lane % 16, part + lane / 16));
#pragma unroll
            for (u32 j = 0; j < OURS; j++) {
                u32 b[4];
                read_tiles(b, ws + place(across + j * 16 + lane % 8 + lane / 16 * 8, part + lane / 8 % 2));
#pragma unroll
                for (u32 i = 0; i < MINE; i++) {
                    multiply_add(sums[i][2 * j], a[i], b[0], b[1]);
                    multiply_add(sums[i][2 * j + 1], a[i], b[2], b[3]);
                }
            }
        }
    }
    // Through shared memory, so that rows are written whole.
    await_copies<0>();
    sync_block();
    u16 *tile = (u16 *)memory;
#pragma unroll
    for (u32 i = 0; i < MINE; i++)
#pragma unroll
        for (u32 j = 0; j < 2 * OURS; j++)
#pragma unroll
            for (u32 r = 0; r < 2; r++) {
                const u32 at = down + i * 16 + lane / 4 + 8 * r, along = across + j * 8 + 2 * (lane % 4);
                const u32 row = top + at, column = left + along;
                float y[2] = {sums[i][j][2 * r], sums[i][j][2 * r + 1]};
                if (row < ROWS && column < OUTPUTS) FINISH(row, column, y)
                *(u32 *)(tile + at * PITCH + along) = pair(y[0], y[1]);
                // What is read for the next ones waits: registers are few.
                keep_order();
            }
    sync_block();
#pragma unroll 4
    for (u32 i = thread; i < TALL * (WIDE / WRITTEN); i += THREADS) {
        const u32 at = i / (WIDE / WRITTEN), along = i % (WIDE / WRITTEN) * WRITTEN;
        if (top + at >= ROWS || left + along >= OUTPUTS) continue;
        T *to = result + (u64)(top + at) * OUTPUTS + left + along;
        const u16 *from = tile + at * PITCH + along;
        if (WRITTEN == 8) *(Sixteen *)to = *(const Sixteen *)from;
        else *(Two *)to = *(const Two *)from;
    }
}
