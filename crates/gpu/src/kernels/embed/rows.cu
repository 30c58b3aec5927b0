// What the product of `tile.cu` reads and writes: patches of a picture, and beside them the leading rows.
#define X_AT(row, k) load(pixel(picture, row, k))
#define W_AT(column, k) load(w[(column) * INPUTS + (k)])
#define FINISH(row, column, sum) { const u32 at = (row) % TOKENS * OUTPUTS + (column); \
    const float y = (row) % TOKENS < LEAD ? 0.0f /* token */ : (sum) + load(bias[column]); \
    result[(u64)(row) * OUTPUTS + (column)] = store(y + load(positions[at])); }
