//! Coarse row maximum by counting thresholds, three or four flights and independent of the row's length.
//!
//! Softmax is shift invariant, so the maximum is needed only to within a unit. Of the opened scores the
//! parties have XOR shares of `[v >= t_k]` for public thresholds. In short rows flight 1 opens them masked; they are
//! made arithmetic, mod the row's length, and summed over the row; flight 2 opens the counts, which a dealt table
//! tests for zero. In long rows flights 1 to 3 open a digest of the row's bits, which parts of it are not zero, and
//! how many ([`crate::gates::row_digest`]); again a dealt table tests the latter. The number of
//! thresholds that something reaches is the index of the highest one; it is opened masked as part of the score's
//! difference (the last flight).
//!
//! With thresholds `t_1, t_1 + s, ..` in units of `2^(n-k)` of the opened score, the result `m` satisfies
//! `-s <= max - m < 1` units as long as the maximum lies in `[t_1, t_K + s)`; below, `m` is the lowest
//! threshold less one; above, `max - m` grows. Source: PROTOCOLS 1.10 (our assembly: counts or digests replace
//! a tree of comparisons).
//!
//! Cost beside the flights: `K` bits an element and `K` counts, or 75 `K` bits and `K` words a row, and one word a row, each way.

use crate::{gates::row_digest::PARTS, plan::Trace, spec::Wire};

/// Bits of the longest row whose count is tested through a dealt table.
const TABLE_WIDTH: u32 = 7;

/// Thresholds of a coarse maximum, in units of the opened score's top bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxFormat {
    /// How many of the top bits are compared.
    pub k: u32,
    /// Ascending, evenly spaced indices in `1..2^k`.
    pub thresholds: Vec<u32>,
}

impl MaxFormat {
    /// Thresholds `step` apart from `low` up to and including the first at or above `high`.
    ///
    /// # Panics
    /// When the range is not in `1..2^k`.
    pub fn covering(k: u32, low: u32, high: u32, step: u32) -> Self {
        assert!(1 <= low && low <= high && high < 1 << k, "thresholds {low}..={high}");
        let mut thresholds: Vec<u32> = (low..=high).step_by(step as usize).collect();
        let last = *thresholds.last().expect("at least one");
        if last < high && last + step < 1 << k {
            thresholds.push(last + step);
        }
        Self { k, thresholds }
    }

    /// Powers of two of one unit of scores opened at `width` bits of which `scale` are fractional: the maximum
    /// is above the result by less.
    pub fn unit_powers(&self, width: u32, scale: u32) -> u32 {
        1 << (width - self.k - scale)
    }

    /// Distance of two thresholds.
    pub fn step(&self) -> u32 {
        match self.thresholds[..] {
            [a, b, ..] => b - a,
            _ => 1,
        }
    }
}

impl Trace {
    /// Opens `scores` in this width and offset; gives the opening, and the coarse maximum of each row, as a share of its width
    /// and scale.
    pub fn coarse_max(
        &mut self,
        scores: Wire,
        (width, offset): (u32, u64),
        format: &MaxFormat,
    ) -> [Wire; 2] {
        let opened = self.open(scores, width, offset);
        let spec = self.spec(opened).clone();
        let row = *spec.shape.last().expect("a maximum over an axis");
        let unit = width - format.k;
        let count_width = (usize::BITS - row.leading_zeros()).max(3);
        let counts = if count_width <= TABLE_WIDTH {
            let bits = self.thresholds(opened, format.k, &format.thresholds);
            let ones = self.lift(bits, count_width);
            // (.., row, K): a sum over the row for each threshold.
            let counts = self.sum_axis(ones, spec.shape.len() - 1);
            self.open(counts, count_width, 0)
        } else {
            let coins = self.coins(scores);
            let parts = self.row_digest(opened, coins, format.k, &format.thresholds);
            let width = PARTS.ilog2() + 1;
            let ones = self.lift(parts, width);
            let counts = self.sum_last(ones);
            self.open(counts, width, 0)
        };
        // The number is below 2^k, and shifted up by the unit: k bits are all that matter.
        let reached = self.non_zero_share(counts, format.k);
        let number = self.sum_last(reached);
        let number = self.rescale(number, spec.scale);
        // m = t_1 + (number - 1) s + s - 1, in units, less the window's offset.
        let step = format.step();
        let m = match step {
            1 => number,
            s if s.is_power_of_two() => self.shift_left(number, s.trailing_zeros()),
            s => panic!("steps are powers of two, not {s}"),
        };
        let m = self.shift_left(m, unit);
        let m = self.reduce(m, width);
        let base = (i64::from(format.thresholds[0]) - 1) << unit;
        [opened, self.add_constant(m, base.wrapping_sub(offset as i64))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn within_the_window_in_its_flights() {
        for (step, n) in [(1, 33), (2, 33), (1, 140)] {
            let rows = 120;
            let mut bench = Bench::new(50 + u64::from(step));
            let mut t = Trace::new();
            let x = t.input(&[rows, n], 30, 10);
            let format = MaxFormat::covering(6, 28, 44, step);
            let [_, m] = t.coarse_max(x, (16, 1 << 15), &format);
            let m = t.reveal(m, 16);
            let plan = t.finish(&[m]);
            let tests = u64::from(n > 127);
            assert_eq!(plan.online().flights, 4 + tests, "score, bits, counts, tests, reveal");
            let mut input = Vec::new();
            for _ in 0..rows {
                let centre = bench.unit() * 10.0 - 4.0;
                input.extend((0..n).map(|_| ((centre - bench.unit() * 9.0) * 1024.0) as i64));
            }
            for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
                result.check_exact();
                for (row, &m) in input.chunks(n).zip(&result.outputs[0]) {
                    let max = *row.iter().max().expect("a row");
                    if max < -4 * 1024 {
                        continue;
                    }
                    let gap = (max - m) as f64 / 1024.0;
                    assert!(-f64::from(step) <= gap && gap < 1.0, "step {step}: gap {gap}");
                }
            }
        }
    }
}
