//! Tables of public values, laid out for the scans.

#[cfg(target_arch = "x86_64")]
use std::ops::RangeInclusive;

/// The sizes for which subset sums are kept: below, a word of bits spans elements; above, they no
/// longer fit the second-level cache.
#[cfg(target_arch = "x86_64")]
const BATCHED: RangeInclusive<u32> = 5..=14;

/// One aligned register of values.
#[cfg(target_arch = "x86_64")]
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Row(pub(super) [i32; 16]);

/// A public table of 2^k values, laid out for the scan.
#[derive(Clone)]
pub struct Table {
    pub(super) k: u32,
    /// `reversed[i] = T[-i mod 2^k]` for `i` in `0..2 * 2^k`: the scan for `c` starts at `-c mod 2^k`
    /// and is contiguous for every `c`.
    reversed: Vec<i32>,
    /// `subset_sums[q][s]` is the sum of `reversed[4 q + b]` over the bits `b` of `s`; empty outside
    /// of [`BATCHED`].
    #[cfg(target_arch = "x86_64")]
    pub(super) subset_sums: Vec<Row>,
}

impl Table {
    /// Lays out the table with `values[i]` for the index `i`.
    ///
    /// # Panics
    /// When `k` is not in 3..=20 or `values` does not hold 2^`k` values.
    pub fn new(k: u32, values: &[i32]) -> Self {
        assert!((3..=20).contains(&k), "Table::new: k is {k}, not in 3..=20");
        assert!(values.len() == 1 << k, "Table::new: {} values for 2^{k} entries", values.len());
        let size = values.len();
        let reversed: Vec<i32> = (0..2 * size).map(|i| values[(2 * size - i) % size]).collect();
        #[cfg(target_arch = "x86_64")]
        let subset_sums = if BATCHED.contains(&k) {
            let fours = reversed[..size].as_chunks::<4>().0;
            fours.iter().map(subset_sums).collect()
        } else {
            Vec::new()
        };
        Self {
            k,
            reversed,
            #[cfg(target_arch = "x86_64")]
            subset_sums,
        }
    }

    /// The number of index bits.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// `T[index mod 2^k]`.
    pub fn value(&self, index: usize) -> i32 {
        let size = 1 << self.k;
        self.reversed[size - index % size]
    }

    /// The scan for `c`: `window(c)[j] = T[(c - j) mod 2^k]`.
    pub(super) fn window(&self, c: usize) -> &[i32] {
        let size = 1 << self.k;
        let start = size - c % size;
        &self.reversed[start..start + size]
    }

    /// The bytes that 2^k bits take.
    pub(super) fn bytes(&self) -> usize {
        (1 << self.k) / 8
    }
}

#[cfg(target_arch = "x86_64")]
fn subset_sums(four: &[i32; 4]) -> Row {
    Row(std::array::from_fn(|subset| {
        let chosen = (0..4).filter(|bit| subset >> bit & 1 == 1);
        chosen.fold(0i32, |sum, bit| sum.wrapping_add(four[bit]))
    }))
}
