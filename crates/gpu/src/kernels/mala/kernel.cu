// elu + 1.
DEVICE float feature(float x) { return x > 0.0f ? x + 1.0f : exponential(x); }
// A row's weights grow with its query: by 1 + 1 / z, where z is what they sum to, less z for all values.
DEVICE float finish(float product, float likeness, float mean) {
    return (1.0f + 1.0f / (likeness + 1e-6f)) * product - likeness * mean;
}
