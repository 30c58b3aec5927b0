DEVICE float feature(float x) { return x; }
// The weights s q k / N of a row sum to its likeness: what is missing to 1 is shared by all values.
DEVICE float finish(float product, float likeness, float mean) { return product + (1.0f - likeness) * mean; }
