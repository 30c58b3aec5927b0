// Powers of two by mantissa and exponent.
constexpr float LOG2_E = 1.44269504f;

// 2^f on [-1/2, 1/2]: within 2.4e-6 of itself.
DEVICE float mantissa(float f) {
    return ((((0.0013333558f * f + 0.0096181291f) * f + 0.0555041087f) * f + 0.2402265070f) * f + 0.6931471806f) * f + 1.0f;
}
// 2^n for whole n up to 127, exactly; 2^-126 below.
DEVICE float power_of_two(float n) { return bits((u32)((int)(n > -126.0f ? n : -126.0f) + 127) << 23); }
