// A block a row: sums by halving in shared memory.
DEVICE float total(float *parts, u32 lane, float part) {
    sync_block();
    parts[lane] = part;
    sync_block();
    for (u32 half = LANES / 2; half > 0; half /= 2) {
        if (lane < half) parts[lane] += parts[lane + half];
        sync_block();
    }
    return parts[0];
}

KERNEL run(PARAMETERS) {
    SHARED(float, parts, LANES);
    const u32 lane = thread_index(), row = block_y() * blocks_x() + block_x();
    if (row >= ALL) return;
    x += (u64)(row / TAKEN * ROWS + FIRST + row % TAKEN) * WIDTH;
    result += (u64)row * WIDTH;
    float sum = 0.0f, square = 0.0f;
    for (u32 c = lane; c < WIDTH; c += LANES) sum += load(x[c]);
    const float mean = total(parts, lane, sum) / (float)WIDTH;
    for (u32 c = lane; c < WIDTH; c += LANES) {
        const float d = load(x[c]) - mean;
        square += d * d;
    }
    const float scale = 1.0f / square_root(total(parts, lane, square) / (float)WIDTH + EPS);
    for (u32 c = lane; c < WIDTH; c += LANES)
        result[c] = store((load(x[c]) - mean) * scale * load(gain[c]) + load(offset[c]));
}
