// The first sweep gathers the row's maximum and sum; the second clips what each score has of it.
DEVICE void begin(Row &row) {
#pragma unroll
    for (u32 c = 0; c < DH; c++) row.q[c] *= SCALE;
}
DEVICE void settle(float *) {}
DEVICE float score(const Row &row, const float *key) { return product_with(row, key); }
DEVICE void gather(Row &row, float s) {
    if (s > row.top) {
        row.sum *= exponential(row.top - s);
        row.top = s;
    }
    row.sum += exponential(s - row.top);
}
DEVICE float weigh(Row &row, float s) {
    const float p = STRETCH * (exponential(s - row.top) / row.sum) + GAMMA;
    return p < 0.0f ? 0.0f : p > 1.0f ? 1.0f : p;
}
DEVICE float share(const Row &) { return 1.0f; }
