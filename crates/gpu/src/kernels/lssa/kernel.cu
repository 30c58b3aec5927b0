// Queries and keys have length 1, queries times SCALE; a row of zeros stays one.
DEVICE void stretch(float *row, float to) {
    float square = 0.0f;
#pragma unroll
    for (u32 c = 0; c < DH; c++) square += row[c] * row[c];
    const float length = square_root(square), by = to / (length > 1e-12f ? length : 1e-12f);
#pragma unroll
    for (u32 c = 0; c < DH; c++) row[c] *= by;
}
DEVICE void begin(Row &row) { stretch(row.q, SCALE); }
DEVICE void settle(float *key) { stretch(key, 1.0f); }
DEVICE float score(const Row &row, const float *key) { return product_with(row, key); }
DEVICE void gather(Row &, float) {}
// log(1 + e) by the series of the inverse hyperbolic tangent, for e from 0 to 1: right to its last places where it is small, too.
DEVICE float weigh(Row &row, float s) {
    const float e = exponential(s > 0.0f ? -s : s), t = e / (2.0f + e), u = t * t;
    const float series = ((((u / 11.0f + 1.0f / 9.0f) * u + 1.0f / 7.0f) * u + 0.2f) * u + 1.0f / 3.0f) * u + 1.0f;
    const float p = (s > 0.0f ? s : 0.0f) + 2.0f * t * series;
    row.sum += p;
    return p;
}
DEVICE float share(const Row &row) { return 1.0f / row.sum; }
