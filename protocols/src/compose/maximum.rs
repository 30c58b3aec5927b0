//! Exact maximum over the last axis: a tournament of comparisons, three flights a round.
//!
//! Shapes: `(.., n)` to `(..)`. Scale: the input's. Error: none, as long as a difference of two entries fits the opened
//! width. `max(a, b) = b + relu(a - b)`; `log2 n` rounds, each one opening and one comparison. For softmax the coarse maximum
//! ([`super::row_max`]) is cheaper; this one is for pooling and for those who need the value itself.

use crate::{plan::Trace, spec::Wire};

impl Trace {
    /// The largest entry of each row; `|a - b| < 2^(width - 2)` for any two entries of a row.
    pub fn maximum(&mut self, x: Wire, width: u32) -> Wire {
        let spec = self.spec(x).clone();
        let axis = spec.shape.len() - 1;
        let ring = spec.share_width();
        let mut x = x;
        loop {
            let n = self.spec(x).shape[axis];
            if n == 1 {
                let shape = spec.shape[..axis].to_vec();
                return self.reshape(x, &shape);
            }
            let half = n / 2;
            let first: Vec<usize> = (0..half).collect();
            let second: Vec<usize> = (half..2 * half).collect();
            let a = self.pick(x, axis, &first);
            let b = self.pick(x, axis, &second);
            let minus = self.negate(b);
            let difference = self.sum(a, minus);
            let open = self.open_signed(difference, width);
            let above = self.relu(open, ring);
            let larger = self.sum(b, above);
            x = match n % 2 {
                0 => larger,
                _ => {
                    let odd = self.pick(x, axis, &[n - 1]);
                    self.concat(axis, &[larger, odd])
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn the_largest_entry_exactly() {
        for n in [1, 2, 3, 7, 16] {
            let mut bench = Bench::new(n as u64);
            let mut t = Trace::new();
            let x = t.input(&[60, n], 40, 8);
            let y = t.maximum(x, 18);
            let y = t.reveal(y, 20);
            let plan = t.finish(&[y]);
            let rounds = u64::from(usize::BITS - (n - 1).leading_zeros());
            assert_eq!(plan.online().flights, 3 * rounds + 1);
            let input = bench.signed(60 * n, 16);
            for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
                result.check_exact();
                for (row, max) in input.chunks(n).zip(&result.outputs[0]) {
                    assert_eq!(row.iter().max(), Some(max));
                }
            }
        }
    }
}
