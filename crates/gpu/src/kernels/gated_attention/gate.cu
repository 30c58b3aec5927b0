// What a head's context counts in a row: its logit's sigmoid.
DEVICE float gate_of(const T *row, u32 head) { return 1.0f / (1.0f + exponential(-load(row[3 * HEADS * DH + head]))); }
