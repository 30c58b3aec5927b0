//! Exact comparison: the sign of an opened value as a bit form; with it ReLU, select and maximum.
//!
//! Shapes: the input's. Result: the bit `x < 0` (or `x >= 0`), scale 0. Error: none for
//! `-2^(n-1) <= x < 2^(n-1)`.
//!
//! `c = x + r mod 2^n` is open (a public offset is taken off first), so
//! `msb(x) = msb(c) ^ msb(r) ^ [c' < r']` with the low `n-1` bits `c'`, `r'`. They are cut into chunks of
//! at most 6 bits. With a one-hot of each chunk of `r'` the parties have XOR shares of
//! `lt_j = [c_j < r_j]` and `eq_j = [c_j = r_j]` locally; the borrow is the XOR over `j` of `lt_j` and all
//! higher `eq_i`, which exclude each other: one flight of ANDs of up to `q` inputs, from dealt
//! products of the masks, then one flight that opens the masked result.
//!
//! Cost: two flights after the opening; `2 (q - 1)` bits and 1 bit each way for `q` chunks; about
//! `2^6 q + 2^q` bits of correction, and the terms of whatever lifts the form.
//! Security: every opened bit is masked by a uniform bit used once; the one-hots are read at the
//! public `c` alone. Source: PROTOCOLS 1.8; multi-input ANDs as in ABY2.0 (section 3.1.4).

use std::collections::{BTreeMap, BTreeSet};

use sotto_ring::{
    mask,
    prefix::{parities, word},
};

use crate::{
    deal::Dealing,
    encode,
    gate::{Draw, Exchange, Gate, To, Work},
    making::{Making, Slot},
    party::Run,
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

use super::bits::{bit_held, bit_known, bit_spec, bit_value};

const CHUNK: u32 = 6;

/// Widest comparison. The products of masks double with each chunk: 25 bits need 15 a comparison, 43 bits 177 (and a gate draws
/// at most 256 tensors).
pub(crate) const WIDEST: u32 = 43;

#[derive(Debug)]
struct Sign {
    width: u32,
    /// Gives `x >= 0` instead of `x < 0`.
    flip: bool,
    /// Lowest bit and size of each chunk, low to high.
    chunks: Vec<(u32, u32)>,
    input: Spec,
}

encode!(Sign { width, flip, chunks, input });

impl Trace {
    /// The bit `x < 0` of an opened value.
    pub fn negative(&mut self, x: Wire) -> Wire {
        self.sign(x, false)
    }

    /// The bit `x >= 0` of an opened value.
    pub fn non_negative(&mut self, x: Wire) -> Wire {
        self.sign(x, true)
    }

    /// `max(x, 0)` in the ring `2^width`, of a value opened with [`Trace::open_signed`].
    pub fn relu(&mut self, x: Wire, width: u32) -> Wire {
        let positive = self.non_negative(x);
        self.product(x, positive, width)
    }

    fn sign(&mut self, x: Wire, flip: bool) -> Wire {
        let input = self.spec(x).clone();
        let width = input.opened().0;
        assert!((4..=WIDEST).contains(&width), "comparison of {width} bits, 4 to {WIDEST} can be");
        let low = width - 1;
        let q = low.div_ceil(CHUNK);
        let mut at = 0;
        let chunks = (0..q).map(|i| {
            let size = low / q + u32::from(i < low % q);
            at += size;
            (at - size, size)
        });
        let chunks = chunks.collect();
        self.add(Sign { width, flip, chunks, input }, &[x])
    }
}

impl Sign {
    fn count(&self) -> usize {
        self.input.count()
    }

    fn q(&self) -> usize {
        self.chunks.len()
    }

    /// The AND terms below the top chunk, each a set of variables: bit `j` is `lt_j`, bit `q - 2 + i` is
    /// `eq_i`.
    fn products(&self) -> Vec<u32> {
        let q = self.q();
        (0..q - 1).map(|j| (j + 1..q).fold(1 << j, |set, i| set | 1 << (q - 2 + i))).collect()
    }

    /// Sets of two or more variables whose masks' product is dealt.
    fn dealt_sets(&self) -> Vec<u32> {
        let mut sets = BTreeSet::new();
        for p in self.products() {
            sets.extend((1..=p).filter(|s| s & p == *s && s.count_ones() > 1));
        }
        sets.into_iter().collect()
    }

    fn variables(&self) -> usize {
        2 * (self.q() - 1)
    }

    /// Draws after the one-hots: top bit of the mask, result's mask, variables' masks, products.
    fn draw_top(&self) -> usize {
        self.q()
    }
}

impl Gate for Sign {
    fn name(&self) -> &'static str {
        "compare"
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![bit_spec(&self.input.shape)]
    }

    fn draws(&self) -> Vec<Draw> {
        let count = self.count();
        let mut all: Vec<Draw> =
            (self.chunks.iter()).map(|&(_, k)| Draw::OneHot { count, k: k.max(3) }).collect();
        all.push(Draw::Value { count, width: 1 });
        all.push(Draw::Mask { count, width: 1 });
        all.extend((0..self.variables()).map(|_| Draw::Mask { count, width: 1 }));
        all.extend(self.dealt_sets().iter().map(|_| Draw::Value { count, width: 1 }));
        all
    }

    /// The terms of the ANDs, each a product of bits.
    fn work(&self) -> Work {
        let terms = self.products().iter().map(|p| 1 << p.count_ones()).sum::<u64>();
        Work::online(terms * self.count() as u64)
    }

    fn rounds(&self) -> Vec<Vec<Exchange>> {
        let open = Exchange { count: self.count(), width: 1, to: To::Both };
        match self.variables() {
            0 => vec![vec![open]],
            v => vec![vec![open; v], vec![open]],
        }
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        let r = dealing.input_mask(0);
        for (j, &(at, size)) in self.chunks.iter().enumerate() {
            let chunk: Vec<u64> = r.iter().map(|r| r >> at & mask(size)).collect();
            dealing.give_one_hot(j, &chunk);
        }
        let top = self.draw_top();
        let tops: Vec<u64> = r.iter().map(|r| r >> (self.width - 1)).collect();
        dealing.give(top, &tops);
        let result = dealing.mask(top + 1);
        let first = top + 2;
        let masks: Vec<Vec<u64>> = (0..self.variables()).map(|v| dealing.mask(first + v)).collect();
        for (i, set) in self.dealt_sets().into_iter().enumerate() {
            let mut product = vec![1; self.count()];
            for (v, m) in masks.iter().enumerate() {
                if set >> v & 1 == 1 {
                    product.iter_mut().zip(m).for_each(|(p, m)| *p &= m);
                }
            }
            dealing.give(first + self.variables() + i, &product);
        }
        dealing.output(bit_known(result));
    }

    fn make(&self, making: &mut Making<'_>) {
        let (r, n) = making.input_mask(0);
        for (j, &(at, size)) in self.chunks.iter().enumerate() {
            let bits: Vec<Slot> = (at..at + size).map(|i| making.sum_bit(r, i)).collect();
            let hot = making.one_hot(&bits);
            making.give(j, hot);
        }
        let top = self.draw_top();
        let msb = making.top_bit(r, n);
        let msb = making.arithmetic(msb, 1);
        making.give(top, msb);
        let first = top + 2;
        // Products of masks, each from one of fewer: sets ascend, and what is left without the lowest bit is smaller.
        let mut products: BTreeMap<u32, Slot> =
            (0..self.variables()).map(|v| (1 << v, making.mask_bits(first + v))).collect();
        for (i, set) in self.dealt_sets().into_iter().enumerate() {
            let lowest = set & set.wrapping_neg();
            let product = making.and(products[&lowest], products[&(set ^ lowest)]);
            products.insert(set, product);
            let product = making.arithmetic(product, 1);
            making.give(first + self.variables() + i, product);
        }
        let held = bit_held(making, top + 1);
        making.output(held);
    }

    fn run(&self, round: usize, run: &mut Run<'_>) {
        let (top, variables) = (self.draw_top(), self.variables());
        let first = top + 2;
        if round == 0 {
            let offset = self.input.opened().1;
            let c: Vec<u64> =
                (run.public(0).iter()).map(|c| c.wrapping_sub(offset) & mask(self.width)).collect();
            let (mut lt, mut eq) = (Vec::new(), Vec::new());
            for (j, &(at, size)) in self.chunks.iter().enumerate() {
                let (less, same) = self.locally(run.bits(j), &c, at, size);
                lt.push(less);
                eq.push(same);
            }
            // The top chunk's lt needs no AND; with the masks' and c's top bits it starts the result.
            let mut share = lt.pop().expect("there is a chunk");
            let server = u64::from(run.is_server());
            let flip = u64::from(self.flip) & server;
            for ((s, r), c) in share.iter_mut().zip(run.words(top)).zip(&c) {
                *s ^= r ^ (c >> (self.width - 1) & server) ^ flip;
            }
            if variables == 0 {
                return run.open(share, top + 1);
            }
            for (v, words) in lt.into_iter().chain(eq.into_iter().skip(1)).enumerate() {
                run.open(words, first + v);
            }
            return run.keep(share);
        }
        if round == 1 && variables > 0 {
            let mut share = run.kept(0);
            let opened: Vec<Vec<u64>> = (0..variables).map(|v| run.opened(v)).collect();
            let sets = self.dealt_sets();
            for product in self.products() {
                self.and(product, &opened, &sets, first, run, &mut share);
            }
            return run.open(share, top + 1);
        }
        let opened = run.packed_bits(0);
        run.output(bit_value(opened));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let width = self.width;
        let negative = (sim.inputs[0].iter()).map(|&x| x as u64 >> (width - 1) & 1);
        let out = negative.map(|b| (b ^ u64::from(self.flip)) as i64).collect();
        sim.output(out);
    }
}

impl Sign {
    /// XOR shares of `[c_j < r_j]` and `[c_j = r_j]` for one chunk.
    fn locally(&self, bits: &[u8], c: &[u64], at: u32, size: u32) -> (Vec<u64>, Vec<u64>) {
        let k = size.max(3);
        let rows = bits.chunks_exact((1 << k) / 8).zip(c);
        rows.map(|(e, c)| {
            let (word, c) = (word(e), c >> at & mask(size));
            let parities = parities(word);
            ((parities >> 63 ^ parities >> c) & 1, word >> c & 1)
        })
        .unzip()
    }

    /// `share ^= ` this party's part of the AND of the variables in `product`: the XOR over the subsets `S` of
    /// `product` of (opened bits outside of `S`) AND (product of masks in `S`).
    fn and(
        &self,
        product: u32,
        opened: &[Vec<u64>],
        sets: &[u32],
        first: usize,
        run: &Run<'_>,
        share: &mut [u64],
    ) {
        let server = u64::from(run.is_server());
        for set in (0..=product).filter(|s| s & product == *s) {
            let mut term: Vec<u64> = match set.count_ones() {
                0 => vec![server; share.len()],
                1 => run.words(first + set.trailing_zeros() as usize),
                _ => {
                    let i = sets.binary_search(&set).expect("dealt for every subset");
                    run.words(first + opened.len() + i)
                }
            };
            for (v, o) in opened.iter().enumerate() {
                if (product & !set) >> v & 1 == 1 {
                    term.iter_mut().zip(o).for_each(|(t, o)| *t &= o);
                }
            }
            share.iter_mut().zip(&term).for_each(|(s, t)| *s ^= t);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn signs_and_relu_are_exact() {
        for width in [4, 7, 8, 13, 17, 20, 25, 32, 38, 43] {
            let mut bench = Bench::new(u64::from(width));
            let mut t = Trace::new();
            let x = t.input(&[700], 64, 3);
            let o = t.open_signed(x, width);
            let y = t.relu(o, 50);
            let b = t.negative(o);
            let b = t.lift(b, 20);
            let y = t.reveal(y, 50);
            let b = t.reveal(b, 20);
            let plan = t.finish(&[y, b]);
            let bound = 1i64 << (width - 2);
            let mut input = bench.signed(700, width - 1);
            input[..4].copy_from_slice(&[0, -1, bound - 1, -bound]);
            for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
                result.check_exact();
                for ((&x, &y), &b) in input.iter().zip(&result.outputs[0]).zip(&result.outputs[1]) {
                    assert_eq!((y, b), (x.max(0), i64::from(x < 0)), "width {width}");
                }
                assert!(plan.online().flights <= 4);
            }
        }
    }

    #[test]
    fn signs_over_the_full_range() {
        let mut bench = Bench::new(77);
        let mut t = Trace::new();
        let x = t.input(&[256], 30, 0);
        let o = t.open(x, 8, 0);
        let b = t.non_negative(o);
        let b = t.lift(b, 9);
        let b = t.reveal(b, 9);
        let plan = t.finish(&[b]);
        let input: Vec<i64> = (-128..128).collect();
        for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
            result.check_exact();
            for (x, b) in input.iter().zip(&result.outputs[0]) {
                assert_eq!(*b, i64::from(*x >= 0));
            }
        }
    }
}
