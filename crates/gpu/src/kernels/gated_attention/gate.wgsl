// What a head's context counts in a row: its logit's sigmoid.
fn gate_of(row: u32, head: u32) -> f32 { return 1.0 / (1.0 + exp(min(-f32(qkv[row + 3u * HEADS * DH + head]), 80.0))); }
