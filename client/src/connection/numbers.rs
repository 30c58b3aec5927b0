//! Which batches this process has had: none twice, whoever gives it again.

use std::collections::{BTreeSet, HashMap};

use sotto_session::messages::{Epoch, OPEN};

/// The numbers of each epoch that the dealer gave us a part of.
#[derive(Default)]
pub(super) struct Numbers(HashMap<Epoch, BTreeSet<u64>>);

impl Numbers {
    /// Notes a number; false where we had it, or where it is so old that an honest dealer has burnt it.
    pub fn is_new(&mut self, epoch: &Epoch, id: u64) -> bool {
        let had = self.0.entry(*epoch).or_default();
        let least =
            |had: &BTreeSet<u64>| had.last().map_or(0, |last| last.saturating_sub(OPEN as u64));
        let new = id >= least(had) && had.insert(id);
        let least = least(had);
        while had.first().is_some_and(|first| *first < least) {
            had.pop_first();
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once_in_an_epoch_and_not_when_it_is_old() {
        let (mut numbers, [a, b]) = (Numbers::default(), [[1; 16], [2; 16]]);
        for id in [3, 7, 5, 4] {
            assert!(numbers.is_new(&a, id));
        }
        for id in [3, 4, 5, 7] {
            assert!(!numbers.is_new(&a, id));
            assert!(numbers.is_new(&b, id));
        }
        let far = 3 * OPEN as u64;
        assert!(numbers.is_new(&a, far));
        // Kept or not: what fell out of the window stays out.
        for id in [0, 3, 7, 100, far - OPEN as u64 - 1, far] {
            assert!(!numbers.is_new(&a, id), "{id}");
        }
        assert!(numbers.is_new(&a, far - OPEN as u64));
        for id in far..far + 2 * OPEN as u64 {
            numbers.is_new(&a, id);
        }
        assert!(numbers.0[&a].len() <= OPEN + 1);
    }
}
