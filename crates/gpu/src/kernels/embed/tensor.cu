// The same for `tensor_tile.cu`: eight numbers are gathered, by fours where a patch's rows are whole fours; two are finished.
DEVICE Sixteen eight(const T *picture, u32 row, u32 k) {
    Sixteen all = {};
    if (PATCH % 4 == 0 && IMAGE % 4 == 0) {
        const Four none = {};
        const u32 token = row % TOKENS;
        const Four *at[2];
        for (u32 i = 0; i < 2; i++) at[i] = (const Four *)number(picture, row, k + 4 * i);
        const Four low = token < LEAD ? none : *at[0], high = token < LEAD ? none : *at[1];
        for (u32 i = 0; i < 4; i++) all.of[i] = low.of[i], all.of[4 + i] = high.of[i];
    } else
        for (u32 i = 0; i < 8; i++) all.of[i] = pixel(picture, row, k + i);
    return all;
}
#define FETCH_X(to, row, k, inside) *(Sixteen *)(to) = (inside) ? eight(picture, row, k) : Sixteen{};
#define FINISH(row, column, y) { const u32 at = (row) % TOKENS * OUTPUTS + (column); \
    const Two b = *(const Two *)(bias + (column)), p = *(const Two *)(positions + at); \
    for (u32 i = 0; i < 2; i++) \
        (y)[i] = load(p.of[i]) + ((row) % TOKENS < LEAD ? 0.0f /* token */ : (y)[i] + load(b.of[i])); }
