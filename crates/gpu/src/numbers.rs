//! Numbers as a device stores them.

use half::{bf16, f16};

use crate::precision::Precision;

/// The bytes of numbers, up to a whole word.
pub(crate) fn encode(values: &[f32], precision: Precision) -> Vec<u8> {
    let half = |of: fn(f32) -> u16| -> Vec<u8> {
        let odd = (values.len() % 2 == 1).then_some(0);
        values.iter().map(|&x| of(x)).chain(odd).flat_map(u16::to_le_bytes).collect()
    };
    match precision {
        Precision::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Precision::F16 => half(|x| f16::from_f32(x).to_bits()),
        Precision::Bf16 => half(|x| bf16::from_f32(x).to_bits()),
    }
}

/// The numbers of whole words of bytes.
pub(crate) fn decode(bytes: &[u8], precision: Precision) -> Vec<f32> {
    let halves = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match precision {
        Precision::F32 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        Precision::F16 => halves.map(|x| f16::from_bits(x).to_f32()).collect(),
        Precision::Bf16 => halves.map(|x| bf16::from_bits(x).to_f32()).collect(),
    }
}
