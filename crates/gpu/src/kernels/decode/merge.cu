// A block a head, a thread some of its columns. Tile t is in part ((t + 1) PARTS - 1) / LINE.
constexpr u32 LINE = HEADS * TILES;

KERNEL run(PARAMETERS) {
    const u32 head = block_y();
    const u32 first = ((head * TILES + 1) * PARTS - 1) / LINE, last = ((head + 1) * TILES * PARTS - 1) / LINE;
    parts += ((u64)block_z() * (PARTS + HEADS) + head) * (DH + 2);
    float top = -3.0e38f;
    for (u32 part = first; part <= last; part++) {
        const float r = load(parts[part * (DH + 2) + DH]);
        top = r > top ? r : top;
    }
    for (u32 c = thread_index(); c < DH; c += LANES) {
        float sum = 0.0f, value = 0.0f;
        for (u32 part = first; part <= last; part++) {
            const T *run = parts + part * (DH + 2);
            const float p = load(run[DH + 1]) * exponential(load(run[DH]) - top);
            sum += p;
            value += p * load(run[c]);
        }
        result[((u64)block_z() * HEADS + head) * DH + c] = store(value / sum);
    }
}
