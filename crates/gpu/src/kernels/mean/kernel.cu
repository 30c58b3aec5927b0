// A thread a column of an input.
KERNEL run(PARAMETERS) {
    const u32 c = block_x() * LANES + thread_index();
    if (c >= WIDTH) return;
    x += (u64)block_y() * ROWS * WIDTH;
    result += (u64)block_y() * (FIRST + 1) * WIDTH;
    if (FIRST == 1) result[c] = x[c];
    float sum = 0.0f;
    for (u32 row = START; row < END; row++) sum += load(x[row * WIDTH + c]);
    result[FIRST * WIDTH + c] = store(sum / (float)(END - START));
}
