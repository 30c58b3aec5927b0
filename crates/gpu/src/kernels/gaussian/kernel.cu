// Differences are squared one by one: by lengths and a product, near rows of large numbers would lose their distance.
DEVICE void begin(Row &) {}
DEVICE void settle(float *) {}
DEVICE float score(const Row &row, const float *key) {
    float square = 0.0f;
#pragma unroll
    for (u32 c = 0; c < DH; c++) square += (row.q[c] - key[c]) * (row.q[c] - key[c]);
    return -SCALE * square;
}
DEVICE void gather(Row &, float) {}
DEVICE float weigh(Row &, float s) { return exponential(s); }
DEVICE float share(const Row &) { return 1.0f; }
