// A warp a row, which stays in registers.
constexpr u32 PARTS = (WIDTH / TOGETHER + 31) / 32;

KERNEL run(PARAMETERS) {
    const u32 lane = thread_index() % 32, row = (block_y() * blocks_x() + block_x()) * ROWS_OF_A_BLOCK + thread_index() / 32;
    if (row >= ALL) return;
    const Sixteen *from = (const Sixteen *)(x + (u64)(row / TAKEN * ROWS + FIRST + row % TAKEN) * WIDTH);
    Sixteen *to = (Sixteen *)(result + (u64)row * WIDTH);
    float numbers[PARTS][TOGETHER], sum = 0.0f, square = 0.0f;
#pragma unroll
    for (u32 p = 0; p < PARTS; p++) {
        const u32 at = p * 32 + lane;
        const Sixteen some = at < WIDTH / TOGETHER ? from[at] : Sixteen{};
#pragma unroll
        for (u32 i = 0; i < TOGETHER; i++) sum += numbers[p][i] = load(some.of[i]);
    }
#pragma unroll
    for (u32 by = 16; by > 0; by /= 2) sum += shuffle_xor(sum, by);
    const float mean = sum / (float)WIDTH;
#pragma unroll
    for (u32 p = 0; p < PARTS; p++)
        if (p * 32 + lane < WIDTH / TOGETHER)
#pragma unroll
            for (u32 i = 0; i < TOGETHER; i++) square += (numbers[p][i] - mean) * (numbers[p][i] - mean);
#pragma unroll
    for (u32 by = 16; by > 0; by /= 2) square += shuffle_xor(square, by);
    const float scale = 1.0f / square_root(square / (float)WIDTH + EPS);
#pragma unroll
    for (u32 p = 0; p < PARTS; p++) {
        const u32 at = p * 32 + lane;
        if (at >= WIDTH / TOGETHER) continue;
        const Sixteen gains = ((const Sixteen *)gain)[at], offsets = ((const Sixteen *)offset)[at];
        Sixteen some;
#pragma unroll
        for (u32 i = 0; i < TOGETHER; i++) some.of[i] = store((numbers[p][i] - mean) * scale * load(gains.of[i]) + load(offsets.of[i]));
        to[at] = some;
    }
}
