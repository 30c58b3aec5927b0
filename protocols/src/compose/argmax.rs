//! The class alone: a one-hot of the largest logit, revealed to the client.
//!
//! Shapes: `(images, classes)` to `(images, classes)` bits. Error: none on the opened integers; of equal
//! logits the first wins.
//!
//! All pairs are compared at once: their differences are local from one opening of the logits, because the
//! dealer knows the difference of two masks. A class wins if it loses no comparison: the number of its losses
//! is opened masked and tested for zero.
//! Flights: logits 1, comparison 2, count 1, test 1, reveal 1, whatever the number of classes.
//! Cost: `classes (classes - 1) / 2` comparisons an image: meant for tens of classes.
//! Security: the client learns the one-hot and nothing else; the server learns nothing.

use crate::{plan::Trace, spec::Wire};

impl Trace {
    /// The one-hot of the largest entry of each row of a share, revealed. `width` bits must hold the
    /// difference of two entries.
    pub fn argmax(&mut self, logits: Wire, width: u32) -> Wire {
        let shape = self.spec(logits).shape.clone();
        let [images, classes] = shape[..] else {
            panic!("argmax of {shape:?}: (images, classes) is needed")
        };
        assert!((2..=64).contains(&classes), "argmax over {classes} classes, 2 to 64 can be");
        // Pairs (a, b) with a < b, as two picks along the class axis, are differences of shares.
        let pairs: Vec<(usize, usize)> =
            (0..classes).flat_map(|a| (a + 1..classes).map(move |b| (a, b))).collect();
        let first: Vec<usize> = pairs.iter().map(|p| p.0).collect();
        let second: Vec<usize> = pairs.iter().map(|p| p.1).collect();
        let difference = self.opened_pairs(logits, width, &first, &second);
        // b beats a strictly when logit a - logit b < 0; otherwise a beats b.
        let lower = self.negative(difference);
        let count_width = (usize::BITS - classes.leading_zeros()).max(3);
        let lower = self.lift(lower, count_width);
        let losses: Vec<Wire> =
            (0..classes).map(|class| self.losses(lower, &pairs, class, images)).collect();
        let losses = self.concat(1, &losses);
        let losses = self.open(losses, count_width, 0);
        let lost = self.non_zero(losses);
        let lost = self.lift(lost, 2);
        let won = self.negate(lost);
        let won = self.add_constant(won, 1);
        self.reveal(won, 2)
    }

    /// How many comparisons `class` loses, `(images, 1)`.
    fn losses(
        &mut self,
        lower: Wire,
        pairs: &[(usize, usize)],
        class: usize,
        images: usize,
    ) -> Wire {
        let at = |f: &dyn Fn(&(usize, usize)) -> bool| -> Vec<usize> {
            (0..pairs.len()).filter(|&i| f(&pairs[i])).collect()
        };
        let as_first = at(&|p| p.0 == class);
        let as_second = at(&|p| p.1 == class);
        let mut total = None;
        if !as_first.is_empty() {
            let bits = self.pick(lower, 1, &as_first);
            total = Some(self.sum_last(bits));
        }
        if !as_second.is_empty() {
            let bits = self.pick(lower, 1, &as_second);
            let wins = self.sum_last(bits);
            let minus = self.negate(wins);
            let lost = self.add_constant(minus, as_second.len() as i64);
            total = Some(match total {
                Some(t) => self.sum(t, lost),
                None => lost,
            });
        }
        let total = total.expect("every class is in a pair");
        self.reshape(total, &[images, 1])
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn one_hot_of_the_largest_first_of_equals() {
        for classes in [2, 3, 10] {
            let images = 40;
            let mut bench = Bench::new(classes as u64);
            let mut t = Trace::new();
            let x = t.input(&[images, classes], 30, 12);
            let y = t.argmax(x, 18);
            let plan = t.finish(&[y]);
            assert_eq!(plan.online().flights, 6);
            let mut input = bench.signed(images * classes, 17);
            input[0] = 9;
            input[1] = 9;
            let result = bench.run_shared(&plan, Vec::new(), std::slice::from_ref(&input));
            result.check_exact();
            for (x, y) in input.chunks(classes).zip(result.outputs[0].chunks(classes)) {
                let best = (0..classes).rev().max_by_key(|&i| x[i]).expect("classes");
                for (i, y) in y.iter().enumerate() {
                    assert_eq!(*y != 0, i == best, "{x:?}: {i}");
                }
            }
        }
    }
}
