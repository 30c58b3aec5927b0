// Where a number of a picture's patch is: of the first patch for the leading rows, which have none.
DEVICE const T *number(const T *picture, u32 row, u32 k) {
    const u32 token = row % TOKENS, patch = token < LEAD ? 0 : token - LEAD;
    const u32 i = patch / PATCHES * PATCH + k / PATCH % PATCH;
    const u32 j = patch % PATCHES * PATCH + k % PATCH;
    const u32 plane = row / TOKENS * PLANES + k / (PATCH * PATCH);
    return picture + ((u64)plane * IMAGE + i) * IMAGE + j;
}
DEVICE T pixel(const T *picture, u32 row, u32 k) { return row % TOKENS < LEAD ? store(0.0f) : *number(picture, row, k); }
