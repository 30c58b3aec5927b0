//! Uniformity statistics, all on one scale: how many standard deviations from what uniform words give.
//!
//! - each bit's frequency (exact tail: Hoeffding, `P(|z| > t) <= 2 exp(-t^2 / 2)`);
//! - chi-square over the lowest and the highest bits, as a normal deviate (Wilson and Hilferty 1931);
//! - both again on the differences of neighbours in one evaluation, which catch a mask used twice:
//!   differences of independent uniform words are independent and uniform;
//! - between two samples: each bit's two frequencies, and the two-sample chi-square.

/// Deviation beyond which a test fails: a false alarm in `2 exp(-8^2 / 2) = 2.5e-14` of all statistics.
pub const LIMIT: f64 = 8.0;

/// Largest number of statistics in the whole suite for which false alarms stay below `1e-6` in all.
pub const MOST: usize = 4_000_000;

/// Chi-square cells have at least this many expected words.
const CELL: usize = 16;

/// A statistic and what it is of.
pub struct Score {
    pub what: String,
    pub z: f64,
}

/// The words of one opening (or correction) over many evaluations, one row each.
#[derive(Clone)]
pub struct Sample {
    width: u32,
    rows: Vec<Vec<u64>>,
}

impl Sample {
    pub fn new(width: u32) -> Self {
        Self { width, rows: Vec::new() }
    }

    pub fn push(&mut self, row: Vec<u64>) {
        assert!(row.iter().all(|w| w & !sotto_ring::mask(self.width) == 0), "bits above the width");
        self.rows.push(row);
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        self.rows.iter().flatten().copied()
    }

    fn len(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }

    /// Whether word by word differences with `other` make sense.
    pub fn fits(&self, other: &Self) -> bool {
        let shape = |s: &Self| s.rows.iter().map(Vec::len).collect::<Vec<_>>();
        self.width == other.width && shape(self) == shape(other)
    }

    /// Word by word differences.
    pub fn minus(&self, other: &Self) -> Self {
        let mask = sotto_ring::mask(self.width);
        let rows = self.rows.iter().zip(&other.rows).map(|(a, b)| {
            let pairs = a.iter().zip(b);
            pairs.map(|(a, b)| a.wrapping_sub(*b) & mask).collect()
        });
        Self { width: self.width, rows: rows.collect() }
    }

    /// Differences of neighbours.
    fn steps(&self) -> Self {
        let mask = sotto_ring::mask(self.width);
        let rows = self.rows.iter().map(|row| {
            let pairs = row.windows(2);
            pairs.map(|p| p[1].wrapping_sub(p[0]) & mask).collect()
        });
        Self { width: self.width, rows: rows.collect() }
    }

    /// How far from uniform: every statistic of the sample and of its neighbours' differences.
    pub fn scores(&self) -> Vec<Score> {
        let mut all = self.plain_scores("");
        let steps = self.steps();
        if steps.len() >= 2 * CELL {
            all.extend(steps.plain_scores("neighbours' differences, "));
        }
        all
    }

    /// Every statistic of the words alone.
    pub fn plain_scores(&self, what: &str) -> Vec<Score> {
        let n = self.len() as f64;
        let mut all = Vec::new();
        for bit in 0..self.width {
            let ones = self.words().filter(|w| w >> bit & 1 == 1).count() as f64;
            all.push(Score { what: format!("{what}bit {bit}"), z: (2.0 * ones - n) / n.sqrt() });
        }
        for (name, cells) in self.histograms(self.len()) {
            let expected = n / cells.len() as f64;
            let square = cells.iter().map(|&c| (c as f64 - expected).powi(2) / expected).sum();
            all.push(Score {
                what: format!("{what}{name} bits' chi-square"),
                z: normal_deviate(square, cells.len() - 1),
            });
        }
        all
    }

    /// How far the two samples are from each other.
    pub fn against(&self, other: &Self) -> Vec<Score> {
        let (n, m) = (self.len() as f64, other.len() as f64);
        let mut all = Vec::new();
        for bit in 0..self.width {
            let ones = |s: &Self| s.words().filter(|w| w >> bit & 1 == 1).count() as f64;
            let (a, b) = (ones(self), ones(other));
            let p = (a + b) / (n + m);
            let spread = (p * (1.0 - p) * (1.0 / n + 1.0 / m)).sqrt();
            let z = if spread == 0.0 { 0.0 } else { (a / n - b / m) / spread };
            all.push(Score { what: format!("bit {bit} of both inputs"), z });
        }
        let least = self.len().min(other.len());
        for ((name, a), (_, b)) in self.histograms(least).into_iter().zip(other.histograms(least)) {
            let (k, l) = ((m / n).sqrt(), (n / m).sqrt());
            let pairs = a.iter().zip(&b).filter(|(a, b)| **a + **b > 0);
            let (mut square, mut used) = (0.0, 0);
            for (&a, &b) in pairs {
                square += (k * a as f64 - l * b as f64).powi(2) / (a + b) as f64;
                used += 1;
            }
            if used > 1 {
                let what = format!("{name} bits of both inputs");
                all.push(Score { what, z: normal_deviate(square, used - 1) });
            }
        }
        all
    }

    /// Counts by the lowest and by the highest bits, as many as `size` words allow.
    fn histograms(&self, size: usize) -> Vec<(&'static str, Vec<usize>)> {
        let bits = (size / CELL).checked_ilog2().unwrap_or(0).min(self.width).min(8);
        if bits == 0 {
            return Vec::new();
        }
        let count = |shift: u32| {
            let mut cells = vec![0; 1 << bits];
            for w in self.words() {
                cells[(w >> shift & sotto_ring::mask(bits)) as usize] += 1;
            }
            cells
        };
        let mut all = vec![("lowest", count(0))];
        if bits < self.width {
            all.push(("highest", count(self.width - bits)));
        }
        all
    }
}

/// A chi-square value as a normal deviate.
fn normal_deviate(square: f64, freedom: usize) -> f64 {
    let k = freedom as f64;
    let spread = 2.0 / (9.0 * k);
    ((square / k).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// The largest deviation.
pub fn worst(scores: Vec<Score>) -> Score {
    let largest = scores.into_iter().max_by(|a, b| a.z.abs().total_cmp(&b.z.abs()));
    largest.expect("at least one statistic")
}

mod tests {
    use sotto_crypto::Seed;

    use super::*;

    fn sample(width: u32, f: impl Fn(u64) -> u64) -> Sample {
        let mut stream = Seed::from_bytes([3; 32]).stream(u64::from(width));
        let mut sample = Sample::new(width);
        for _ in 0..50 {
            let row = (0..60).map(|_| f(stream.word()) & sotto_ring::mask(width));
            sample.push(row.collect());
        }
        sample
    }

    #[test]
    fn uniform_words_pass_at_every_width() {
        for width in 1..=64 {
            let found = worst(sample(width, |w| w).scores());
            assert!(found.z.abs() < 5.0, "{width} bits, {}: {}", found.what, found.z);
            let other = sample(width, |w| !w.rotate_left(31));
            let found = worst(sample(width, |w| w).against(&other));
            assert!(found.z.abs() < 5.0, "{width} bits, {}: {}", found.what, found.z);
        }
    }

    #[test]
    fn what_is_not_uniform_is_found_at_every_width() {
        let caught = |s: &Sample| worst(s.scores()).z.abs() > LIMIT;
        for width in 1..=64 {
            assert!(caught(&sample(width, |_| 0)), "a constant, {width} bits");
            assert!(caught(&sample(width, |_| u64::MAX)), "a constant, {width} bits");
            // A bit that is 1 in five cases of eight.
            let biased = |w: u64| w | u64::from(w >> 62 == 1);
            assert!(caught(&sample(width, biased)), "a biased bit, {width} bits");
        }
        for width in 3..=64 {
            let quarter = 1u64 << (width - 2);
            let narrow = sample(width, |w| (w >> 1 & (2 * quarter - 1)) + quarter);
            assert!(caught(&narrow), "a narrow mask around the middle, {width} bits");
            let (low, high) = (sample(width, |w| w % 3), sample(width, |w| quarter + w % 3));
            assert!(worst(low.against(&high)).z.abs() > LIMIT, "two inputs, {width} bits");
        }
    }

    #[test]
    fn unit_vectors_are_not_uniform_bytes() {
        let mut sample = Sample::new(8);
        for i in 0..50 {
            sample.push((0..64).map(|j| if j == i { 1 << (i % 8) } else { 0 }).collect());
        }
        assert!(worst(sample.scores()).z.abs() > LIMIT);
    }
}
