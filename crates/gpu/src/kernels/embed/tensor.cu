// The same for `tensor_tile.cu`: eight numbers are gathered, four are written.
#define FETCH_X(to, row, k, inside) { Sixteen eight; \
    for (u32 i = 0; i < 8; i++) eight.of[i] = (inside) ? pixel(picture, row, (k) + i) : store(0.0f); \
    *(Sixteen *)(to) = eight; }
#define FINISH(row, column, y) { const u32 at = (row) % TOKENS * OUTPUTS + (column); \
    const Four b = *(const Four *)(bias + (column)), p = *(const Four *)(positions + at); Four all; \
    for (u32 i = 0; i < 4; i++) \
        all.of[i] = store(load(p.of[i]) + ((row) % TOKENS < LEAD ? 0.0f /* token */ : (y)[i] + load(b.of[i]))); \
    *(Four *)(result + (u64)(row) * OUTPUTS + (column)) = all; }
