// A number of a picture's patch; none of the leading rows has one.
DEVICE T pixel(const T *picture, u32 row, u32 k) {
    const u32 token = row % TOKENS;
    if (token < LEAD) return store(0.0f);
    const u32 patch = token - LEAD;
    const u32 i = patch / PATCHES * PATCH + k / PATCH % PATCH;
    const u32 j = patch % PATCHES * PATCH + k % PATCH;
    const u32 plane = row / TOKENS * PLANES + k / (PATCH * PATCH);
    return picture[((u64)plane * IMAGE + i) * IMAGE + j];
}
