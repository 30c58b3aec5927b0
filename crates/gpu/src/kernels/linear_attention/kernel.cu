// A block makes COLUMNS columns of a head's state, then their part of every row's result.
KERNEL run(PARAMETERS) {
    SHARED(float, state, DH * COLUMNS);
    const u32 lane = thread_index(), head = head_of(block_y()), left = block_x() * COLUMNS;
    qkv += (u64)block_z() * TOKENS * STRIDE + head * DH;
    for (u32 i = lane; i < DH * COLUMNS; i += LANES) {
        const u32 r = i / COLUMNS, c = left + i % COLUMNS;
        float sum = 0.0f;
        if (c < DH)
            for (u32 j = 0; j < TOKENS; j++)
                sum += load(qkv[j * STRIDE + HEADS * DH + r]) * load(qkv[j * STRIDE + 2 * HEADS * DH + c]);
        state[i] = sum;
    }
    sync_block();
    for (u32 i = lane; i < TOKENS * COLUMNS; i += LANES) {
        const u32 row = i / COLUMNS, c = left + i % COLUMNS;
        if (c >= DH) continue;
        float sum = 0.0f;
        for (u32 r = 0; r < DH; r++) sum += load(qkv[row * STRIDE + r]) * state[r * COLUMNS + i % COLUMNS];
        result[(((u64)block_z() * TOKENS + row) * HEADS + head) * DH + c] = store(sum / BY);
    }
}
