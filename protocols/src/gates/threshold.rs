//! Threshold bits of opened values: `[h >= t]` for public thresholds `t`, `h` the integer part.
//!
//! Shapes: `(..)` to `(.., thresholds)`; bit forms. `h` is the top `k` bits of the window's index, of which the
//! private `h` is the floor or the floor plus one (a borrow from the low bits), so a threshold acts within
//! one unit of `2^(n-k)`.
//!
//! With a one-hot of the mask's top `k` bits, `[ch - rh >= t]` is the parity of the one-hot over a range that
//! the public `ch` and `t` give: XOR shares of all thresholds are local. One flight opens them masked.
//! Cost: one flight, one bit an element and threshold each way; `2^k` bits of correction an element.
//! Security: the opened bits are masked by uniform bits used once; ranges depend on public `c`
//! alone. Source: PROTOCOLS 1.6, 1.10.

use sotto_ring::{
    mask,
    prefix::{parities, word},
};

use crate::{
    deal::{Dealing, Known},
    encode,
    gate::{Draw, Exchange, Gate, To, Work},
    making::{Making, top_one_hot},
    party::Run,
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

use super::bits::{bit_held, bit_known, bit_spec, bit_value};

#[derive(Debug)]
struct Thresholds {
    /// Bits of the compared integer part.
    k: u32,
    thresholds: Vec<u32>,
    input: Spec,
}

encode!(Thresholds { k, thresholds, input });

impl Trace {
    /// `[h >= t]` for each threshold `t` in `1..2^k`, `h` the top `k` bits (3 to 10) of the window's index.
    pub fn thresholds(&mut self, x: Wire, k: u32, thresholds: &[u32]) -> Wire {
        let input = compared(self.spec(x), k, thresholds);
        let thresholds = thresholds.to_vec();
        self.add(Thresholds { k, thresholds, input }, &[x])
    }
}

/// The spec of an opened value whose top `k` bits are compared with `thresholds`.
pub(super) fn compared(input: &Spec, k: u32, thresholds: &[u32]) -> Spec {
    assert!((3..=10).contains(&k) && input.opened().0 >= k, "thresholds on {k} bits");
    assert!(thresholds.iter().all(|t| (1..1 << k).contains(t)), "{thresholds:?}");
    input.clone()
}

/// The top `k` bits of the simulated input, as the parties' one-hots have them.
pub(super) fn simulated_tops(input: &Spec, k: u32, sim: &mut Simulation<'_>) -> Vec<u64> {
    let (width, offset) = input.opened();
    let lo = width - k;
    let r = sim.input_mask(0, width);
    let top = |(&x, r): (&i64, u64)| {
        let c = (x as u64).wrapping_add(offset).wrapping_add(r) & mask(width);
        (c >> lo).wrapping_sub(r >> lo) & mask(k)
    };
    sim.inputs[0].iter().zip(r).map(top).collect()
}

impl Thresholds {
    fn lo(&self) -> u32 {
        self.input.opened().0 - self.k
    }

    fn bits(&self) -> usize {
        self.input.count() * self.thresholds.len()
    }

    /// The highest threshold and how many there are, where they fill a word without gaps.
    fn consecutive(&self) -> Option<(u32, u32)> {
        let (highest, count) = (*self.thresholds.last()?, self.thresholds.len() as u32);
        let ascend = self.thresholds.windows(2).all(|w| w[1] == w[0] + 1);
        (ascend && count <= 64).then_some((highest, count))
    }
}

/// XOR shares of `[h >= t]` for every `t`, of one element whose public index has the top bits `high`.
///
/// They are the parity of the one-hot's bits at `r = high - h` for `h >= t`: `r` in the cyclic range
/// `(high, high - t]`.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack; a box would allocate for every element"
)]
pub(super) enum Above {
    /// A one-hot of up to 64 bits: bit `last - t`.
    Word { parities: u64, last: u32 },
    /// A longer one: parities of the bits up to each place of two turns of it, from which the range is taken.
    Words { parities: [u64; 2 * LONGEST + 1], high: usize, size: usize },
}

/// Words of the longest one-hot.
const LONGEST: usize = (1 << 10) / 64;

impl Above {
    /// Of the one-hot `e` of `2^k` bits.
    #[inline]
    pub fn new(e: &[u8], k: u32, high: usize) -> Self {
        let size = 1u32 << k;
        if size > 64 {
            return Self::long(e, high);
        }
        let word = word(e);
        let from = (high as u32 + 1) & (size - 1);
        // Bit i of the rotated word is the one-hot's bit at r = high + 1 + i, set where h = size - 1 - i. What is
        // above the size does not reach down.
        let rotated = word >> from | (word << (size - 1 - from)) << 1;
        Above::Word { parities: parities(rotated), last: size - 1 }
    }

    fn long(e: &[u8], high: usize) -> Self {
        let mut two = [0; 2 * LONGEST + 1];
        let (mut odd, words) = (0u64, e.len() / 8);
        for (to, bytes) in two.iter_mut().zip(e.chunks_exact(8)) {
            *to = parities(word(bytes)) ^ odd;
            odd = (*to >> 63).wrapping_neg();
        }
        let (first, second) = two.split_at_mut(words);
        second.iter_mut().zip(first).for_each(|(to, from)| *to = *from ^ odd);
        Above::Words { parities: two, high, size: 8 * e.len() }
    }

    /// The share for the threshold `t` in `1..2^k`.
    #[inline]
    pub fn bit(&self, t: u32) -> u64 {
        self.word(t, 1)
    }

    /// The shares for up to 64 consecutive thresholds of which `highest` is the largest, that one lowest.
    #[inline]
    pub fn word(&self, highest: u32, count: u32) -> u64 {
        match *self {
            Above::Word { parities, last } => parities >> (last - highest) & mask(count),
            Above::Words { ref parities, high, size } => {
                let (at, before) = (high + size - highest as usize, parities[high / 64]);
                let (word, bit) = (at / 64, at % 64);
                let up_to = parities[word] >> bit | (parities[word + 1] << (63 - bit)) << 1;
                (up_to ^ (before >> (high % 64) & 1).wrapping_neg()) & mask(count)
            }
        }
    }
}

impl Gate for Thresholds {
    fn name(&self) -> &'static str {
        "thresholds"
    }

    fn outputs(&self) -> Vec<Spec> {
        let mut shape = self.input.shape.clone();
        shape.push(self.thresholds.len());
        vec![bit_spec(&shape)]
    }

    fn draws(&self) -> Vec<Draw> {
        let hot = Draw::OneHot { count: self.input.count(), k: self.k };
        vec![hot, Draw::Mask { count: self.bits(), width: 1 }]
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        vec![vec![Exchange { count: self.bits(), width: 1, to: To::Both }]]
    }

    fn work(&self) -> Work {
        Work::online(self.bits() as u64)
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let lo = self.lo();
        let high: Vec<u64> = dealing.input_mask(0).iter().map(|r| r >> lo).collect();
        dealing.give_one_hot(0, &high);
        let known: Known = bit_known(dealing.mask(1));
        dealing.output(known);
    }

    fn make(&self, making: &mut Making<'_>) {
        let (r, n) = making.input_mask(0);
        let hot = top_one_hot(making, r, n, self.k);
        making.give(0, hot);
        let held = bit_held(making, 1);
        making.output(held);
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        if round == 1 {
            let opened = run.packed_bits(0);
            return run.output(bit_value(opened));
        }
        let lo = self.lo();
        let rows = run.bits(0).chunks_exact((1 << self.k) / 8).zip(run.public(0));
        let rows = rows.map(|(e, &c)| Above::new(e, self.k, (c >> lo) as usize));
        match self.consecutive() {
            // The lowest threshold is the first.
            Some((highest, count)) => {
                let words = rows.map(|above| above.word(highest, count).reverse_bits());
                let words: Vec<u64> = words.map(|word| word >> (64 - count)).collect();
                run.open_bits(&words, count, 1);
            }
            None => {
                let bits =
                    rows.flat_map(|above| self.thresholds.iter().map(move |&t| above.bit(t)));
                let bits: Vec<u64> = bits.collect();
                run.open_bits(&bits, 1, 1);
            }
        }
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let mut out = Vec::with_capacity(self.bits());
        for h in simulated_tops(&self.input, self.k, sim) {
            out.extend(self.thresholds.iter().map(|&t| i64::from(h >= u64::from(t))));
        }
        sim.output(out);
    }
}

#[cfg(test)]
mod tests {
    use super::Above;
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn bits_are_exact() {
        for (k, t) in [
            (6, &[1, 20, 33, 34, 63][..]),
            (4, &[1, 7, 8, 9, 15]),
            (5, &[12, 13, 14, 15, 16]),
            (7, &[60, 61, 64, 65, 127]),
            (8, &[9, 100, 128, 129, 250]),
            (8, &[126, 127, 128, 129, 130]),
            (10, &[60, 511, 512, 513, 900]),
        ] {
            let mut bench = Bench::new(31);
            let mut trace = Trace::new();
            let x = trace.input(&[800], 30, 10);
            let c = trace.open(x, 16, 1 << 15);
            let b = trace.thresholds(c, k, t);
            let b = trace.lift(b, 8);
            let b = trace.sum_last(b);
            let b = trace.reveal(b, 8);
            let plan = trace.finish(&[b]);
            let input = bench.signed(800, 16);
            for result in bench.run_sources(&plan, Vec::new(), &[input]) {
                result.check_exact();
                assert!(result.outputs[0].contains(&5) && result.outputs[0].contains(&0));
            }
        }
    }

    #[test]
    fn every_share_is_the_parity_of_its_cyclic_range() {
        let mut stream = sotto_crypto::Seed::from_bytes([9; 32]).stream(0);
        for k in 3..=10 {
            let size = 1usize << k;
            let e: Vec<u8> = (0..size / 8).map(|_| (256.0 * stream.unit()) as u8).collect();
            let bit = |r: usize| u64::from(e[r % size / 8] >> (r % 8) & 1);
            for high in (0..size).step_by(size / 8 - (k > 4) as usize) {
                let above = Above::new(&e, k, high);
                let mut expected = 0;
                for t in (1..size).rev() {
                    // r in (high, high - t] modulo the size: one more than for t + 1.
                    expected ^= bit(high + size - t);
                    let t = t as u32;
                    assert_eq!(above.bit(t), expected, "k {k} high {high} t {t}");
                    let count = t.min(64);
                    let bits = (0..count).map(|i| above.bit(t - i) << i).sum::<u64>();
                    assert_eq!(above.word(t, count), bits, "k {k} high {high} t {t}");
                }
            }
        }
    }
}
