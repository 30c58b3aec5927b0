// What the product of `tile.cu` reads and writes: patches of a picture, and beside them the leading rows.
DEVICE float pixel(const T *picture, u32 row, u32 k) {
    const u32 token = row % TOKENS;
    if (token < LEAD) return 0.0f;
    const u32 patch = token - LEAD;
    const u32 i = patch / ACROSS * PATCH + k / PATCH % PATCH;
    const u32 j = patch % ACROSS * PATCH + k % PATCH;
    const u32 plane = row / TOKENS * PLANES + k / (PATCH * PATCH);
    return load(picture[((u64)plane * IMAGE + i) * IMAGE + j]);
}
#define X_AT(row, k) pixel(picture, row, k)
#define W_AT(column, k) load(w[(column) * INPUTS + (k)])
#define FINISH(row, column, sum) { const u32 at = (row) % TOKENS * OUTPUTS + (column); \
    const float y = (row) % TOKENS < LEAD ? 0.0f /* token */ : (sum) + load(bias[column]); \
    result[(u64)(row) * OUTPUTS + (column)] = store(y + load(positions[at])); }
