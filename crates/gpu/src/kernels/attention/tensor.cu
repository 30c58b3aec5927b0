// On tensor cores: a warp has 16 query rows at a time, whose scores of HELD keys are in registers. All KEYS of a short input are
// in shared memory at once; a longer one's come in turns. What was summed is scaled when a larger score comes.
constexpr u32 TILES = (TOKENS + 15) / 16, TURNS = (TOKENS + KEYS - 1) / KEYS, PARTS = KEYS / HELD;
// Of a unified softmax: e^WINDOW is a number that a half holds.
#if defined(F16)
constexpr float WINDOW = 10.0f;
#else
constexpr float WINDOW = 24.0f;
#endif

DEVICE float largest_of_row(float x) {
#pragma unroll
    for (u32 by = 1; by < 4; by *= 2) {
        const float other = shuffle_xor(x, by);
        x = other > x ? other : x;
    }
    return x;
}

KERNEL BOUNDED(32 * WARPS, 1) run(PARAMETERS) {
    DYNAMIC(memory);
    u16 *keys = (u16 *)memory, *values = keys + KEYS * PITCH, *rests = values + KEYS * PITCH;
    const u32 lane = thread_index() % 32, warp = thread_index() / 32, t = lane % 4;
    const u32 head = head_of(block_y()), kind = kind_of(block_y());
    const float phi = phi_of(block_y());
    const T *rows = qkv + (u64)block_z() * TOKENS * STRIDE;
    qkv = rows + head * DH;
    result += ((u64)block_z() * TOKENS * HEADS + head) * DH;
    if (TURNS == 1) fetch_rows<KEYS>(keys, values, qkv, 0);
    for (u32 round = 0; round < ROUNDS; round++) {
        const u32 tile = (round * blocks_x() + block_x()) * WARPS + warp;
        u32 q[DH / 16][4];
#pragma unroll
        for (u32 d = 0; d < DH / 16; d++) read_queries(q[d], qkv, tile, d * 16);
        float acc[DH / 8][4] = {}, top[2] = {-3.0e38f, -3.0e38f}, sum[2] = {0.0f, 0.0f};
        // Of a unified softmax: the range of the scores so far.
        float peak[2] = {-3.0e38f, -3.0e38f}, floor[2] = {3.0e38f, 3.0e38f};
        for (u32 part = 0; part < TURNS * PARTS; part++) {
            if (part % PARTS == 0 && TURNS > 1) {
                sync_block();
                fetch_rows<KEYS>(keys, values, qkv, part * HELD);
            }
            if (part % PARTS == 0 && (TURNS > 1 || round == 0)) {
                await_copies<0>();
                sync_block();
            }
            if (tile >= TILES) continue;
            const u32 start = part * HELD;
            const u16 *held_keys = keys + part % PARTS * HELD * PITCH, *held_values = values + part % PARTS * HELD * PITCH;
            float s[HELD / 8][4];
#pragma unroll
            for (u32 n = 0; n < HELD / 16; n++) {
#pragma unroll
                for (u32 e = 0; e < 4; e++) s[2 * n][e] = s[2 * n + 1][e] = 0.0f;
#pragma unroll
                for (u32 d = 0; d < DH / 16; d++) {
                    u32 b[4];
                    read_tiles(b, held_keys + (n * 16 + lane % 8 + lane / 16 * 8) * PITCH + d * 16 + lane / 8 % 2 * 8);
                    multiply_add(s[2 * n], q[d], b[0], b[1]);
                    multiply_add(s[2 * n + 1], q[d], b[2], b[3]);
                }
            }
            // A key that is not there weighs nothing.
            auto there = [&](u32 n, u32 e) { return start + n * 8 + 2 * t + e % 2 < TOKENS; };
            const float by = kind == SOFTMAX || kind == UNIFIED || kind == TWO_PASS ? SCALE * LOG2_E : SCALE;
#pragma unroll
            for (u32 n = 0; n < HELD / 8; n++)
#pragma unroll
                for (u32 e = 0; e < 4; e++) s[n][e] *= by;
            if (kind == SOFTMAX || kind == UNIFIED || kind == TWO_PASS) {
                float least[2] = {3.0e38f, 3.0e38f}, largest[2] = {-3.0e38f, -3.0e38f};
#pragma unroll
                for (u32 n = 0; n < HELD / 8; n++)
#pragma unroll
                    for (u32 e = 0; e < 4; e++)
                        if (there(n, e)) {
                            if (kind == UNIFIED) least[e / 2] = s[n][e] < least[e / 2] ? s[n][e] : least[e / 2];
                            largest[e / 2] = s[n][e] > largest[e / 2] ? s[n][e] : largest[e / 2];
                        }
#pragma unroll
                for (u32 r = 0; r < 2; r++) {
                    float now = largest_of_row(largest[r]);
                    if (kind == UNIFIED) {
                        const float bottom = -largest_of_row(-least[r]), middle = phi * LOG2_E;
                        peak[r] = now = now > peak[r] ? now : peak[r];
                        floor[r] = bottom < floor[r] ? bottom : floor[r];
                        if (now - middle <= WINDOW * LOG2_E && middle - floor[r] <= WINDOW * LOG2_E) now = middle;
                    } else {
                        if (kind == TWO_PASS) now = nearest(now);
                        now = now > top[r] ? now : top[r];
                    }
                    const float factor = kind == TWO_PASS ? power_of_two(top[r] - now) : power(top[r] - now);
                    top[r] = now;
                    if (TURNS * PARTS > 1) {
                        sum[r] *= factor;
#pragma unroll
                        for (u32 d = 0; d < DH / 8; d++) acc[d][2 * r] *= factor, acc[d][2 * r + 1] *= factor;
                    }
                }
            }
#pragma unroll
            for (u32 n = 0; n < HELD / 8; n++)
#pragma unroll
                for (u32 e = 0; e < 4; e++) {
                    const float x = s[n][e];
                    float p = x;
                    if (kind == SOFTMAX || kind == UNIFIED) p = power(x - top[e / 2]);
                    else if (kind == TWO_PASS) p = mantissa(x - nearest(x)) * power_of_two(nearest(x) - top[e / 2]);
                    else if (kind == RELU) p = x > 0.0f ? x : 0.0f;
                    else if (kind == SIGMOID) p = inverse(1.0f + (float)TOKENS * power(-x * LOG2_E));
                    else if (kind == SOFTPLUS) p = (x > 0.0f ? x : 0.0f) + logarithm(1.0f + power((x > 0.0f ? -x : x) * LOG2_E));
                    else if (kind == STABLEMAX) p = x >= 0.0f ? x + 1.0f : inverse(1.0f - x);
                    p = there(n, e) ? p : 0.0f;
                    s[n][e] = p;
                    sum[e / 2] += p;
                }
#pragma unroll
            for (u32 n = 0; n < HELD / 16; n++) {
                const u32 a[4] = {pair(s[2 * n][0], s[2 * n][1]), pair(s[2 * n][2], s[2 * n][3]),
                                  pair(s[2 * n + 1][0], s[2 * n + 1][1]), pair(s[2 * n + 1][2], s[2 * n + 1][3])};
                add_rows(acc, a, held_values + n * 16 * PITCH);
            }
        }
        if (tile >= TILES) continue;
        float over[2];
#pragma unroll
        for (u32 r = 0; r < 2; r++) {
            float all = sum[r];
#pragma unroll
            for (u32 by = 1; by < 4; by *= 2) all += shuffle_xor(all, by);
            const u32 row = tile * 16 + lane / 4 + 8 * r;
            const float open = row < TOKENS ? gate_of(rows + row * STRIDE, head) : 0.0f;
            over[r] = open / (kind == LINEAR ? (float)TOKENS : kind == RELU ? all + RELU_EPS : kind == SIGMOID ? 1.0f : all);
        }
        write_rows(result, rests + warp * 16 * PITCH, tile, acc, over[0], over[1]);
    }
}
