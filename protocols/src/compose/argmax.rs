//! The class alone: a one-hot of the largest logit, revealed to the client.
//!
//! Shapes: `(images, classes)` to `(images, classes)` bits. Error: none on the opened integers; of equal
//! logits the first wins.
//!
//! Up to 256 classes, all pairs are compared at once: their differences are local from one opening of the
//! logits, because the dealer knows the difference of two masks. A class wins if it loses no comparison: the
//! number of its losses is opened masked and tested for zero. More classes are cut into groups of 16, whose
//! largest logits meet again; a class wins if it wins in its group and its group wins.
//!
//! Flights: logits 1, comparison 2, count 1, test 1, reveal 1. Each round of groups costs 5 more, and 1 beyond the
//! first: 6 up to 256 classes, 11 up to 4,096, 17 up to 65,536.
//! Cost: `classes (classes - 1) / 2` comparisons an image (about 26 bytes of correction each) up to 256 classes, then
//! 7.5 a class and those among the groups. All pairs of 256 classes are 0.9 MB offline, for which five flights less
//! are a bargain in a model that has a hundred.
//! Security: the client learns the one-hot and nothing else; the server learns nothing. What is opened (logits, the
//! groups' largest, counts of losses, bits) is masked at its width.

use crate::{
    plan::Trace,
    spec::{Kind, Wire},
};

/// Most classes of which all pairs are compared.
const ALL_PAIRS: usize = 256;

/// Classes in a group where they are more.
const GROUP: usize = 16;

/// Ring of the one-hot.
const BIT: u32 = 2;

impl Trace {
    /// The one-hot of the largest entry of each row of a share, revealed. `width` bits must hold the
    /// difference of two entries.
    pub fn argmax(&mut self, logits: Wire, width: u32) -> Wire {
        let shape = self.spec(logits).shape.clone();
        assert!(
            matches!(shape[..], [_, classes] if classes >= 2),
            "argmax of {shape:?}: (images, 2 classes or more) is needed"
        );
        let lost = self.lost(logits, width);
        let lost = self.shared_bit(lost);
        let won = self.negate(lost);
        let won = self.add_constant(won, 1);
        self.reveal_bits(won)
    }

    /// Whether an entry of `(rows, n)` is not the first of its row's largest: a bit form, or a share after groups.
    fn lost(&mut self, x: Wire, width: u32) -> Wire {
        let [rows, n] = self.spec(x).shape[..] else { unreachable!("checked by argmax") };
        if n <= ALL_PAIRS {
            let open = self.open(x, width, 0);
            return self.lost_among_all(open);
        }
        // Copies of the first entry fill the last group; it comes before them, so none of them wins.
        let groups = n.div_ceil(GROUP);
        let filled: Vec<usize> = (0..groups * GROUP).map(|i| if i < n { i } else { 0 }).collect();
        let x = self.pick(x, 1, &filled);
        let x = self.reshape(x, &[rows, groups, GROUP]);
        let open = self.open(x, width, 0);
        let inside = self.lost_among_all(open);
        // A group's largest is the sum of all less the losers'.
        let losers = self.product(open, inside, width);
        let losers = self.sum_last(losers);
        let losers = self.negate(losers);
        let all = self.sum_last(x);
        let largest = self.sum(all, losers);
        let group = self.lost(largest, width);
        let lost = self.either(inside, group);
        let kept: Vec<usize> = (0..n).collect();
        self.pick(lost, 1, &kept)
    }

    /// `inside or group` as a share `(rows, n)`: `inside` is `(rows, groups, n / groups)`, `group` `(rows, groups)`.
    fn either(&mut self, inside: Wire, group: Wire) -> Wire {
        let [rows, groups, size] = self.spec(inside).shape[..] else {
            unreachable!("groups of rows")
        };
        let (flat, share) = ([rows, groups * size], self.shared_bit(group));
        let factor = match self.spec(group).kind {
            Kind::Share { .. } => self.open(group, BIT, 0),
            _ => group,
        };
        let both = self.product(inside, factor, BIT);
        let both = self.negate(both);
        let inside = self.shared_bit(inside);
        let inside = self.sum(inside, both);
        let inside = self.reshape(inside, &flat);
        let each: Vec<usize> = (0..flat[1]).map(|i| i / size).collect();
        let group = self.pick(share, 1, &each);
        self.sum(inside, group)
    }

    /// A bit as a share in the ring of [`BIT`] bits.
    fn shared_bit(&mut self, bit: Wire) -> Wire {
        match self.spec(bit).kind {
            Kind::Share { .. } => bit,
            _ => self.lift(bit, BIT),
        }
    }

    /// [`Trace::lost`] by all pairs along the last axis of an opened value without offset: a bit form.
    fn lost_among_all(&mut self, open: Wire) -> Wire {
        let shape = self.spec(open).shape.clone();
        let (classes, axis) = (shape[shape.len() - 1], shape.len() - 1);
        // Pairs (a, b) with a < b, as two picks along the class axis, are differences of shares.
        let pairs: Vec<(usize, usize)> =
            (0..classes).flat_map(|a| (a + 1..classes).map(move |b| (a, b))).collect();
        let first: Vec<usize> = pairs.iter().map(|p| p.0).collect();
        let second: Vec<usize> = pairs.iter().map(|p| p.1).collect();
        let difference = self.opened_pairs(open, &first, &second);
        // b beats a strictly when logit a - logit b < 0; otherwise a beats b.
        let lower = self.negative(difference);
        let count_width = (usize::BITS - classes.leading_zeros()).max(3);
        let lower = self.lift(lower, count_width);
        let losses: Vec<Wire> =
            (0..classes).map(|class| self.losses(lower, &pairs, class)).collect();
        let losses = self.concat(axis, &losses);
        let losses = self.open(losses, count_width, 0);
        self.non_zero(losses)
    }

    /// How many comparisons `class` loses, one number a row.
    fn losses(&mut self, lower: Wire, pairs: &[(usize, usize)], class: usize) -> Wire {
        let mut shape = self.spec(lower).shape.clone();
        let axis = shape.len() - 1;
        shape[axis] = 1;
        let at = |f: &dyn Fn(&(usize, usize)) -> bool| -> Vec<usize> {
            (0..pairs.len()).filter(|&i| f(&pairs[i])).collect()
        };
        let as_first = at(&|p| p.0 == class);
        let as_second = at(&|p| p.1 == class);
        let mut total = None;
        if !as_first.is_empty() {
            let bits = self.pick(lower, axis, &as_first);
            total = Some(self.sum_last(bits));
        }
        if !as_second.is_empty() {
            let bits = self.pick(lower, axis, &as_second);
            let wins = self.sum_last(bits);
            let minus = self.negate(wins);
            let lost = self.add_constant(minus, as_second.len() as i64);
            total = Some(match total {
                Some(t) => self.sum(t, lost),
                None => lost,
            });
        }
        let total = total.expect("every class is in a pair");
        self.reshape(total, &shape)
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL_PAIRS, GROUP};
    use crate::{plan::Trace, testing::Bench};

    /// Holds the argmax of random rows, with ties of the largest at `ties` in every other row, against the definition.
    fn check(classes: usize, images: usize, ties: &[usize], flights: u64) {
        let mut bench = Bench::new(classes as u64);
        let mut t = Trace::new();
        let x = t.input(&[images, classes], 30, 12);
        let y = t.argmax(x, 18);
        let plan = t.finish(&[y]);
        assert_eq!(plan.online().flights, flights, "{classes} classes");
        let mut input = bench.signed(images * classes, 17);
        for row in input.chunks_mut(classes).step_by(2) {
            let top = row.iter().max().map_or(0, |top| top + 1);
            ties.iter().for_each(|&tie| row[tie] = top);
        }
        for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
            result.check_exact();
            for (x, y) in input.chunks(classes).zip(result.outputs[0].chunks(classes)) {
                let best = (0..classes).rev().max_by_key(|&i| x[i]).expect("classes");
                for (i, y) in y.iter().enumerate() {
                    assert_eq!(*y, i64::from(i == best), "{classes} classes, {i} for {best}");
                }
            }
        }
    }

    #[test]
    fn one_hot_of_the_largest_first_of_equals() {
        for classes in [2, 3, 10, 65, 200] {
            check(classes, 40.min(2000 / classes), &[0, 1], 6);
            check(classes, 4, &[classes - 1, classes / 2], 6);
        }
    }

    #[test]
    fn more_classes_meet_in_groups() {
        // The last group is whole, has one class, or lacks one.
        for classes in [272, 257, 1000, 1007] {
            check(classes, 4, &[], 11);
            // In one group; in two; the first entry, of which the last group has copies.
            check(classes, 2, &[35, 37], 11);
            check(classes, 2, &[classes - 1, 40, 200], 11);
            check(classes, 2, &[0, classes - 1], 11);
            check(classes, 2, &[0], 11);
        }
        check(ALL_PAIRS * GROUP + 1, 2, &[40, 300, 4096], 17);
    }
}
