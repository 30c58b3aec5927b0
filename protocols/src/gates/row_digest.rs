//! Which thresholds any element of a row reaches: tests of a digest of the row's threshold bits.
//!
//! Shapes: `(.., n)` to `(.., thresholds, PARTS)`: bit forms, of which one of a threshold's is 1 where an element of the row
//! reaches it, and none where none does. Error: a threshold that is reached is missed with
//! probability `2^-60` (`PARTS` times `PART` bits) over the batch's keys, whatever the inputs are; otherwise as
//! [`super::threshold`].
//!
//! XOR shares of the threshold bits `b` are local, as there. The digest `H`, the XOR of the keys of a row's set
//! bits, is linear, so that the parties' digests of their own shares are XOR shares of `H(b)`: they open `o = H(b) ^ rho`. It is 0
//! where all bits are, and else the XOR of some of the keys, at least one. The keys follow from common coins
//! ([`super::coins`]) that nobody knows before the flight in which the compared value is opened, and which are independent of it. So the digest of bits
//! that are not all 0 is uniform. (Of constant keys, patterns with digest 0 could be computed.) With a one-hot of each part of
//! `rho`, its bit at the part of `o` is an XOR share of the digest's part being 0. Compared with a count ([`super::form`], `lift` and a row
//! sum), nothing is dealt or opened for an element, but its one-hot is read and a key added.
//!
//! Cost: two flights, 60 bits, then `PARTS`, a row and threshold, each way; `2^k` bits of correction an element,
//! `PARTS 2^PART` a row and threshold. Security: the opened digests and bits are masked by
//! uniform bits used once; the one-hots are read at the public digests. Coins and keys are public, and nothing
//! else depends on them. A party that deviates knows the coins before it sends its part of the compared value, and could choose one
//! whose maxima are missed: a wrong result, which it could have as well without. Our own.

use sotto_ring::{digest::digests, mask};

use crate::{
    deal::{Dealing, Known},
    encode,
    gate::{Draw, Exchange, Gate, To, Work},
    making::{Making, Part, Slot, top_one_hot},
    party::Run,
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

use super::{
    bits::{bit_held, bit_known, bit_spec, bit_value},
    threshold::{Above, compared, simulated_tops},
};

/// Bits of a digest that one one-hot tests.
const PART: u32 = 4;
/// Parts of a digest.
pub const PARTS: usize = 15;

/// Bits of a digest.
const DIGEST: u32 = PART * PARTS as u32;

#[derive(Debug)]
struct RowDigest {
    /// Bits of the compared integer part.
    k: u32,
    /// The largest threshold; the others follow it downwards.
    highest: u32,
    thresholds: u32,
    input: Spec,
}

encode!(RowDigest { k, highest, thresholds, input });

impl Trace {
    /// For each row of an opened value, for the top `k` bits `h` of its elements and each of the consecutive
    /// `thresholds` (ascending): digest parts of `[h >= t]` over the row. The `coins` must not be known before `x` is opened.
    pub fn row_digest(&mut self, x: Wire, coins: Wire, k: u32, thresholds: &[u32]) -> Wire {
        let input = compared(self.spec(x), k, thresholds);
        assert!(thresholds.windows(2).all(|t| t[0] + 1 == t[1]), "consecutive, not {thresholds:?}");
        let highest = *thresholds.last().expect("at least one threshold");
        let thresholds = thresholds.len() as u32;
        self.add(RowDigest { k, highest, thresholds, input }, &[x, coins])
    }
}

impl RowDigest {
    fn lo(&self) -> u32 {
        self.input.opened().0 - self.k
    }

    /// Threshold bits of the whole tensor.
    fn bits(&self) -> usize {
        self.input.count() * self.thresholds as usize
    }

    /// Rows, as often as there are thresholds.
    fn tests(&self) -> usize {
        self.output().count() / PARTS
    }

    fn output(&self) -> Spec {
        let (_, rows) = self.input.shape.split_last().expect("a digest over an axis");
        bit_spec(&[rows, &[self.thresholds as usize, PARTS]].concat())
    }

    /// A key for each element of a row.
    fn keys(&self, coins: &[u64]) -> Vec<u64> {
        let row = *self.input.shape.last().expect("a digest over an axis");
        let mut hasher = blake3::Hasher::new_derive_key("sottovoce row digest 2");
        coins.iter().for_each(|word| {
            hasher.update(&word.to_le_bytes());
        });
        let mut xof = hasher.finalize_xof();
        let mut key = || {
            let mut bytes = [0; 8];
            xof.fill(&mut bytes);
            u64::from_le_bytes(bytes) & mask(DIGEST)
        };
        (0..row).map(|_| key()).collect()
    }

    /// The digests of words of threshold bits, thresholds ascending.
    fn digests(&self, words: &[u64], coins: &[u64]) -> Vec<u64> {
        let mut digests = digests(words, self.thresholds, &self.keys(coins));
        // The highest threshold is the lowest bit.
        digests.chunks_exact_mut(self.thresholds as usize).for_each(<[u64]>::reverse);
        digests
    }
}

/// The parts of digests.
fn parts(digests: &[u64]) -> impl Iterator<Item = u64> + '_ {
    digests.iter().flat_map(|d| (0..PARTS as u32).map(move |i| d >> (PART * i) & mask(PART)))
}

impl Gate for RowDigest {
    fn name(&self) -> &'static str {
        "row digest"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output()]
    }

    fn draws(&self) -> Vec<Draw> {
        let count = self.output().count();
        vec![
            Draw::OneHot { count: self.input.count(), k: self.k },
            Draw::Mask { count: self.tests() * DIGEST as usize, width: 1 },
            Draw::OneHot { count, k: PART },
            Draw::Mask { count, width: 1 },
        ]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        let open = |count| vec![Exchange { count, width: 1, to: To::Both }];
        vec![open(self.tests() * DIGEST as usize), open(self.output().count())]
    }

    fn work(&self) -> Work {
        Work::online(2 * self.bits() as u64)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let lo = self.lo();
        let high: Vec<u64> = dealing.input_mask(0).iter().map(|r| r >> lo).collect();
        dealing.give_one_hot(0, &high);
        let masks: Vec<u64> = parts(&dealing.mask_bits(1, DIGEST)).collect();
        dealing.give_one_hot(2, &masks);
        let known: Known = bit_known(dealing.mask(3));
        dealing.output(known);
    }

    fn make(&self, making: &mut Making<'_>) {
        let (r, n) = making.input_mask(0);
        let hot = top_one_hot(making, r, n, self.k);
        making.give(0, hot);
        // Each party's parts of the masks, of which the bits are XOR shares.
        let bits = making.mask(1);
        let masks = making.local(&[bits], self.output().count(), |_, x| {
            let part = |bits: &[u64]| bits.iter().enumerate().map(|(i, b)| b << i).sum();
            Part::Words(x.words(0).chunks_exact(PART as usize).map(part).collect())
        });
        let bits: Vec<Slot> = (0..PART).map(|i| making.own_bit(masks, i)).collect();
        let hot = making.one_hot(&bits);
        making.give(2, hot);
        let held = bit_held(making, 3);
        making.output(held);
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        match round {
            0 => {
                let lo = self.lo();
                let hot = run.bits(0).chunks_exact((1 << self.k) / 8);
                let words: Vec<u64> = (hot.zip(run.public(0)))
                    .map(|(e, &c)| {
                        let above = Above::new(e, self.k, (c >> lo) as usize);
                        above.word(self.highest, self.thresholds)
                    })
                    .collect();
                run.open_bits(&self.digests(&words, run.public(1)), DIGEST, 1);
            }
            1 => {
                let digests = run.opened_bits(0, DIGEST, self.tests());
                let server = u64::from(run.is_server());
                let hot = run.bits(2).as_chunks::<{ (1 << PART) / 8 }>().0;
                let differ = |(e, part): (&[u8; 2], u64)| {
                    u64::from(u16::from_le_bytes(*e)) >> part & 1 ^ server
                };
                let words = hot.iter().zip(parts(&digests)).map(differ).collect();
                run.open(words, 3);
            }
            _ => {
                let opened = run.packed_bits(0);
                run.output(bit_value(opened));
            }
        }
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let words: Vec<u64> = (simulated_tops(&self.input, self.k, sim).into_iter())
            .map(|h| {
                let reached = |i: &u32| h >= u64::from(self.highest - i);
                (0..self.thresholds).filter(reached).map(|i| 1 << i).sum()
            })
            .collect();
        // They are opened over nothing.
        let coins = sim.input_mask(1, 64);
        let digests = self.digests(&words, &coins);
        sim.output(parts(&digests).map(|part| i64::from(part != 0)).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    /// Patterns of bits whose digest is 0 under one key list are found by elimination: none is under other coins.
    #[test]
    fn no_pattern_has_digest_zero_in_two_batches() {
        let (row, bits) = (64, DIGEST);
        let mut trace = Trace::new();
        let x = trace.input(&[1, row], 30, 10);
        let c = trace.open(x, 16, 1 << 15);
        let input = trace.spec(c).clone();
        let gate = RowDigest { k: 6, highest: 20, thresholds: 1, input };
        let keys = gate.keys(&[1, 2, 3, 4]);
        // Rows of (key, pattern) in echelon form: more elements than bits, so that some pattern is left with key 0.
        let mut basis: Vec<(u64, u64)> = Vec::new();
        let mut null = None;
        for (i, &key) in keys.iter().enumerate() {
            let (mut key, mut pattern) = (key, 1u64 << i);
            for &(k, p) in &basis {
                if key ^ k < key {
                    (key, pattern) = (key ^ k, pattern ^ p);
                }
            }
            match key {
                0 => null = Some(pattern),
                _ => {
                    basis.push((key, pattern));
                    basis.sort_unstable_by(|a, b| b.cmp(a));
                }
            }
        }
        let pattern = null.expect("64 keys of 60 bits depend on each other");
        let digest = |keys: &[u64]| {
            let chosen = keys.iter().enumerate().filter(|(i, _)| pattern >> i & 1 == 1);
            chosen.fold(0, |sum, (_, key)| sum ^ key)
        };
        assert_eq!(digest(&keys), 0);
        for coins in [[0, 0, 0, 0], [1, 2, 3, 5], [2, 1, 3, 4]] {
            let others = gate.keys(&coins);
            assert!(others.iter().all(|key| *key < 1 << bits) && digest(&others) != 0);
        }
    }

    #[test]
    fn what_is_reached_shows_in_some_part() {
        for (k, thresholds, row) in [(6, 20..27, 130), (4, 6..11, 33), (8, 100..121, 5)] {
            let thresholds: Vec<u32> = thresholds.collect();
            let mut bench = Bench::new(u64::from(k));
            let mut trace = Trace::new();
            let x = trace.input(&[12, row], 30, 10);
            let (c, coins) = (trace.open(x, 16, 1 << 15), trace.coins(x));
            let parts = trace.row_digest(c, coins, k, &thresholds);
            let parts = trace.lift(parts, 4);
            let parts = trace.sum_last(parts);
            let parts = trace.reveal(parts, 4);
            let plan = trace.finish(&[parts]);
            // Rows whose largest element is in the middle of a unit, above and below the thresholds.
            let unit = 1i64 << (16 - k);
            let mut input = bench.signed(12 * row, 10);
            for (i, row) in input.chunks_mut(row).enumerate() {
                let top = (i64::from(thresholds[0]) + i as i64 - 4) * unit + unit / 2 - (1 << 15);
                row.iter_mut().for_each(|x| *x = (top - x.abs() * unit / 100).max(-1 << 15));
                row[i % row.len()] = top;
            }
            for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
                result.check_exact();
                let found = result.outputs[0].chunks(thresholds.len());
                for (i, (row, found)) in input.chunks(row).zip(found).enumerate() {
                    let top = (row.iter().max().expect("a row") + (1 << 15)) / unit;
                    for (&t, &parts) in thresholds.iter().zip(found) {
                        // A borrow may add one unit.
                        match i64::from(t) - top {
                            ..=0 => assert!(parts != 0, "row {i} reaches {t}"),
                            2.. => assert_eq!(parts, 0, "row {i} does not reach {t}"),
                            1 => {}
                        }
                    }
                }
            }
        }
    }
}
