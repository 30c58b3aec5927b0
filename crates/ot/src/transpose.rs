//! Columns of bits to rows of 128.

use crate::Block;

/// Transposes 64 words of 64 bits in place: bit `j` of word `i` becomes bit `i` of word `j`.
fn square(a: &mut [u64; 64]) {
    let mut width = 32;
    let mut low = u64::MAX >> 32;
    while width > 0 {
        let mut at = 0;
        while at < 64 {
            for i in at..at + width {
                let swap = (a[i] >> width ^ a[i + width]) & low;
                a[i] ^= swap << width;
                a[i + width] ^= swap;
            }
            at += 2 * width;
        }
        width /= 2;
        low ^= low << width;
    }
}

/// Row `r` of 128 columns of bits, for all rows: bit `j` of `rows[r]` is bit `r` of column `j`. A column is `rows.len() / 8` bytes of
/// `columns`, one after the other.
pub fn rows(columns: &[u8], rows: &mut [Block]) {
    let words = columns.len() / 128 / 8;
    let (columns, _) = columns.as_chunks::<8>();
    let mut halves = [[0; 64]; 2];
    for (group, rows) in rows.chunks_mut(64).enumerate() {
        for (h, half) in halves.iter_mut().enumerate() {
            for (j, word) in half.iter_mut().enumerate() {
                *word = u64::from_le_bytes(columns[(64 * h + j) * words + group]);
            }
            square(half);
        }
        for ((row, low), high) in rows.iter_mut().zip(&halves[0]).zip(&halves[1]) {
            *row = Block::from(*low) | Block::from(*high) << 64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_lands_in_its_row() {
        let words = 3;
        let columns: Vec<u8> = (1..=128 * 8 * words as u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 41) as u8)
            .collect();
        let mut out = vec![0; 64 * words];
        rows(&columns, &mut out);
        for (r, row) in out.iter().enumerate() {
            for j in 0..128 {
                let bit = columns[j * 8 * words + r / 8] >> (r % 8) & 1;
                assert_eq!((row >> j) as u8 & 1, bit, "row {r}, column {j}");
            }
        }
    }
}
