//! How many heads of a layer have each kind.

use std::collections::BTreeMap;

/// Head counts of all kinds but the last as one number.
pub(super) fn place(counts: &[usize], heads: usize) -> usize {
    counts[..counts.len() - 1].iter().rev().fold(0, |at, &n| at * (heads + 1) + n)
}

/// Every way to split `heads` over `kinds`.
pub(super) fn splits(heads: usize, kinds: usize) -> Vec<Vec<usize>> {
    if kinds == 1 {
        return vec![vec![heads]];
    }
    let with = |n: usize| {
        let rest = splits(heads - n, kinds - 1).into_iter();
        rest.map(move |rest| [vec![n], rest].concat())
    };
    (0..=heads).flat_map(with).collect()
}

/// The probabilities of all head counts, for heads that choose independently.
pub(super) fn distribution<'a>(
    rows: impl IntoIterator<Item = &'a Vec<f64>>,
    kinds: usize,
) -> Vec<(Vec<usize>, f64)> {
    let mut all = vec![(vec![0; kinds], 1.0)];
    for row in rows {
        let mut next: BTreeMap<Vec<usize>, f64> = Default::default();
        for (counts, probability) in &all {
            for (k, share) in row.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                let mut counts = counts.clone();
                counts[k] += 1;
                *next.entry(counts).or_default() += probability * share;
            }
        }
        all = next.into_iter().collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_heads_have_ninety_one_splits() {
        assert_eq!(splits(12, 3).len(), 91);
        let places: std::collections::BTreeSet<_> =
            splits(12, 3).iter().map(|c| place(c, 12)).collect();
        assert_eq!(places.len(), 91);
    }
}
