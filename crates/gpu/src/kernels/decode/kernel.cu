// A block has a part of the line of all heads' tiles of keys; its run in a head goes to place part + head.
constexpr u32 LINE = HEADS * TILES, SHARE = (DH + LANES - 1) / LANES;

KERNEL run(PARAMETERS) {
    SHARED(float, query, DH);
    SHARED(float, keys, TILE * DH);
    SHARED(float, weights, TILE);
    const u32 lane = thread_index(), part = block_x(), end = (part + 1) * LINE / PARTS;
    qkv += (u64)block_z() * (1 + 2 * TOKENS) * HEADS * DH;
    result += (u64)block_z() * (PARTS + HEADS) * (DH + 2);
    u32 at = part * LINE / PARTS;
    while (at < end) {
        const u32 head = at / TILES, stop = end < (head + 1) * TILES ? end : (head + 1) * TILES;
        float acc[SHARE] = {}, top = -3.0e38f, sum = 0.0f;
        sync_block();
        for (u32 c = lane; c < DH; c += LANES) query[c] = load(qkv[head * DH + c]) * SCALE;
        for (; at < stop; at++) {
            const u32 start = (at - head * TILES) * TILE, count = TOKENS - start < TILE ? TOKENS - start : TILE;
            // Of token j, keys are row 1 + 2 j and values the next.
            const T *here = qkv + ((u64)(1 + 2 * start) * HEADS + head) * DH;
            sync_block();
            for (u32 i = lane; i < count * DH; i += LANES) keys[i] = load(here[i / DH * 2 * HEADS * DH + i % DH]);
            sync_block();
            if (lane < count) {
                float s = 0.0f;
                for (u32 c = 0; c < DH; c++) s += query[c] * keys[lane * DH + c];
                weights[lane] = s;
            }
            sync_block();
            float now = top;
            for (u32 j = 0; j < count; j++) now = weights[j] > now ? weights[j] : now;
            sync_block();
            if (lane < count) weights[lane] = exponential(weights[lane] - now);
            sync_block();
            const float factor = exponential(top - now);
            top = now;
            sum *= factor;
#pragma unroll
            for (u32 k = 0; k < SHARE; k++) acc[k] *= factor;
            for (u32 j = 0; j < count; j++) {
                const float p = weights[j];
                sum += p;
#pragma unroll
                for (u32 k = 0; k < SHARE; k++)
                    if (lane + k * LANES < DH) acc[k] += p * load(here[(2 * j + 1) * HEADS * DH + lane + k * LANES]);
            }
        }
        T *to = result + (part + head) * (DH + 2);
#pragma unroll
        for (u32 k = 0; k < SHARE; k++)
            if (lane + k * LANES < DH) to[lane + k * LANES] = store(acc[k] / sum);
        if (lane == 0) {
            const float log_sum = logarithm(sum), stored = load(store(top + log_sum));
            to[DH] = store(stored);
            to[DH + 1] = store(exponential(top - stored + log_sum));
        }
    }
}
