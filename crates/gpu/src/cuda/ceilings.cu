// Chains of tensor products in registers, eight of them, which hide each other's delay: what mma.sync reaches.
KERNEL run(T *result) {
    const u32 lane = thread_index();
    const u32 a[4] = {lane, lane + 1, lane + 2, lane + 3};
    float sums[8][4] = {};
    for (u32 step = 0; step < STEPS; step++)
#pragma unroll
        for (u32 chain = 0; chain < 8; chain++) multiply_add(sums[chain], a, lane + chain, lane - chain);
    float all = 0.0f;
#pragma unroll
    for (u32 chain = 0; chain < 8; chain++) all += sums[chain][0] + sums[chain][1] + sums[chain][2] + sums[chain][3];
    result[block_x() * 128 + lane] = store(all);
}
