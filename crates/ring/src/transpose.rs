//! Columns of bits to rows of 128.
#![allow(unsafe_code)]

/// Words of eight squares side by side: word `i` of each.
type Squares = [[u64; 8]; 64];

/// Rows of columns.
type RowsFn = fn(&[u8], &mut [u128]);

/// Row `r` of 128 columns of bits, for all rows: bit `j` of `rows[r]` is bit `r` of column `j`. A column is `rows.len() / 8` bytes of
/// `columns`, one after the other.
///
/// # Panics
/// When the rows are not whole groups of 64, or the columns have another length.
pub fn rows(columns: &[u8], rows: &mut [u128]) {
    assert!(rows.len().is_multiple_of(64), "transpose: {} rows", rows.len());
    assert_eq!(columns.len(), 16 * rows.len(), "transpose: bytes of {} rows", rows.len());
    kernels().pop().expect("there is a portable kernel")(columns, rows);
}

/// The kernels of this machine, the fastest last.
fn kernels() -> Vec<RowsFn> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "kernels of that machine"))]
    let mut all: Vec<RowsFn> = vec![transpose];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just detected.
        all.push(|columns, rows| unsafe { avx512(columns, rows) });
    }
    all
}

/// The portable code, for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(columns: &[u8], rows: &mut [u128]) {
    transpose(columns, rows);
}

#[inline(always)]
fn transpose(columns: &[u8], rows: &mut [u128]) {
    let words = rows.len() / 64;
    let (columns, _) = columns.as_chunks::<8>();
    let mut halves: [Squares; 2] = [[[0; 8]; 64]; 2];
    for (group, rows) in rows.chunks_mut(8 * 64).enumerate() {
        let count = rows.len() / 64;
        for (j, column) in columns.chunks_exact(words).enumerate() {
            let part = &column[8 * group..8 * group + count];
            for (word, bytes) in halves[j / 64][j % 64].iter_mut().zip(part) {
                *word = u64::from_le_bytes(*bytes);
            }
        }
        halves.iter_mut().for_each(squares);
        for (g, rows) in rows.chunks_mut(64).enumerate() {
            for ((row, low), high) in rows.iter_mut().zip(&halves[0]).zip(&halves[1]) {
                *row = u128::from(low[g]) | u128::from(high[g]) << 64;
            }
        }
    }
}

/// Transposes each square of 64 words of 64 bits in place: bit `j` of word `i` becomes bit `i` of word `j`.
#[inline(always)]
fn squares(a: &mut Squares) {
    let mut width = 32;
    let mut low = u64::MAX >> 32;
    while width > 0 {
        for at in (0..64).step_by(2 * width) {
            let (first, second) = a[at..at + 2 * width].split_at_mut(width);
            for (x, y) in first.iter_mut().zip(second) {
                for (x, y) in x.iter_mut().zip(y) {
                    let swap = (*x >> width ^ *y) & low;
                    *x ^= swap << width;
                    *y ^= swap;
                }
            }
        }
        width /= 2;
        low ^= low << width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_lands_in_its_row() {
        for words in [1, 3, 8, 17] {
            let columns: Vec<u8> = (1..=128 * 8 * words as u64)
                .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 41) as u8)
                .collect();
            for kernel in kernels() {
                let mut out = vec![0; 64 * words];
                kernel(&columns, &mut out);
                for (r, row) in out.iter().enumerate() {
                    for j in 0..128 {
                        let bit = columns[j * 8 * words + r / 8] >> (r % 8) & 1;
                        assert_eq!((row >> j) as u8 & 1, bit, "row {r}, column {j}");
                    }
                }
            }
        }
    }
}
