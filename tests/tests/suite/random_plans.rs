//! Random legal plans of all gates but tables by rows, in any order and at any width, on correlations that are dealt and on
//! such as two parties make: every element of every wire is what the simulator computes under the batch's masks, and every
//! byte and flight what the plan says.
//!
//! Each step knows how large its values can be, so that what is built is legal and the rings are often as tight as they may be.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sotto_protocols::{
    Wire,
    compose::row_max::MaxFormat,
    functions::{Function, Window},
    gates::lookup::Precision,
    plan::{Plan, Trace, WeightSpec},
    testing::Bench,
    weights::Matrix,
};

use crate::gate_plans;

const ROWS: usize = 3;
const ROW: usize = 5;

/// Widest ring that is used.
const WIDEST: u32 = 62;

/// A shared tensor whose elements lie in `[-2^bits, 2^bits)`, with two bits of its ring to spare.
#[derive(Clone, Copy)]
struct Shared {
    wire: Wire,
    bits: u32,
}

/// One step: which, of which of the tensors so far, and how wide.
type Step = (u8, u8, u8, u8);

struct Plans {
    trace: Trace,
    /// `ROWS x ROW`.
    full: Vec<Shared>,
    /// One element a row.
    rows: Vec<Shared>,
    /// Of other shapes: nothing follows from them.
    last: Vec<Wire>,
    /// Two parties round powers otherwise than a dealer does.
    rounds: bool,
    matrices: Vec<Matrix>,
}

impl Plans {
    fn new(inputs: &[u32]) -> Self {
        let mut trace = Trace::new();
        let input = |&bits: &u32| Shared { wire: trace.input(&[ROWS, ROW], WIDEST, 8), bits };
        let full = inputs.iter().map(input).collect();
        Self {
            trace,
            full,
            rows: Vec::new(),
            last: Vec::new(),
            rounds: false,
            matrices: Vec::new(),
        }
    }

    fn width(&self, x: Shared) -> u32 {
        self.trace.spec(x.wire).share_width()
    }

    /// Opens at the least width, or up to `more` bits wider where the ring has them.
    fn open(&mut self, x: Shared, more: u8) -> Wire {
        let width = (x.bits + 2 + u32::from(more % 4)).min(self.width(x));
        self.trace.open_signed(x.wire, width)
    }

    /// The least ring for so many bits, or up to `more` wider.
    fn ring(bits: u32, more: u8) -> u32 {
        (bits + 2 + u32::from(more % 8)).min(WIDEST)
    }

    fn add(&mut self, wire: Wire, bits: u32) {
        self.full.push(Shared { wire, bits });
    }

    /// Takes a step, unless its result would not fit.
    fn step(&mut self, (which, first, second, more): Step) {
        let x = self.full[usize::from(first) % self.full.len()];
        let y = self.full[usize::from(second) % self.full.len()];
        let bits = x.bits;
        match which % 20 {
            0 => {
                let opened = self.open(x, second);
                let wire = self.trace.lift(opened, Self::ring(bits, more));
                self.add(wire, bits);
            }
            1 if bits + y.bits + 2 <= WIDEST => {
                let (a, b) = (self.open(x, more), self.open(y, more / 4));
                let wire = self.trace.product(a, b, Self::ring(bits + y.bits, more));
                self.add(wire, bits + y.bits);
            }
            2 if 2 * bits + 5 <= WIDEST => {
                let opened = self.open(x, second);
                let wire = self.trace.square_sum(opened, Self::ring(2 * bits + 3, more));
                self.rows.push(Shared { wire, bits: 2 * bits + 3 });
            }
            3 if (2..=23).contains(&bits) => {
                let opened = self.open(x, 0);
                let wire = self.trace.relu(opened, Self::ring(bits, more));
                self.add(wire, bits);
            }
            4 if bits > 3 && self.width(x) >= bits + 3 => {
                let drop = u32::from(more) % (bits - 2).min(6) + 1;
                let scale = self.trace.spec(x.wire).scale;
                // The same integers, read at a scale that has bits to drop.
                let wire = self.trace.rescale(x.wire, scale + drop);
                let wire = self.trace.truncate_to(wire, scale);
                self.add(wire, bits - drop + 1);
            }
            5 => {
                let scale = self.trace.spec(x.wire).scale;
                let width = self.width(x).min(self.width(y));
                let most = bits.max(y.bits) + 1;
                if most + 2 <= width {
                    let y = self.trace.rescale(y.wire, scale);
                    let [a, b] = [x.wire, y].map(|w| self.trace.reduce(w, width));
                    let wire = self.trace.sum(a, b);
                    self.add(wire, most);
                }
            }
            6 if (5..=14).contains(&bits) => {
                let scale = self.trace.spec(x.wire).scale;
                let window = Window::signed(bits + 2, scale);
                let opened = self.trace.open_window(x.wire, window);
                let k = 3 + u32::from(more) % (bits - 2).min(6);
                let precision = Precision { k, value_scale: 10, slope_scale: 10 };
                let function = [Function::Sigmoid, Function::Tanh][usize::from(second) % 2];
                let form = self.trace.lookup(opened, function, precision);
                let bits = self.trace.spec(form).scale + 1;
                let wire = self.trace.lift(form, Self::ring(bits, second));
                self.add(wire, bits);
            }
            7 if bits >= 3 => {
                let opened = self.open(x, more);
                let marks: Vec<u32> = (1..8).filter(|t| more >> t & 1 == 1).collect();
                if !marks.is_empty() {
                    let form = self.trace.thresholds(opened, 3, &marks);
                    let counts = self.trace.lift(form, Self::ring(3, second));
                    let wire = self.trace.sum_last(counts);
                    self.add(wire, 3);
                }
            }
            8 => {
                let Some(&row) = self.rows.get(usize::from(second) % self.rows.len().max(1)) else {
                    return;
                };
                let most = bits + row.bits;
                if most + 2 <= WIDEST {
                    let (a, b) = (self.open(x, more), self.open(row, 0));
                    let wire = self.trace.product(a, b, Self::ring(most, more));
                    self.add(wire, most);
                }
            }
            9 if self.width(x) >= bits + 8 => {
                let number = self.matrices.len();
                let spec = WeightSpec {
                    name: format!("w{number}"),
                    outputs: ROW,
                    inputs: ROW,
                    width: Self::ring(bits + 6, more).min(self.width(x)),
                    scale: 0,
                };
                let weight = self.trace.weight(spec);
                let entry = |i: usize| ((i * 5 + usize::from(more)) % 15) as u64;
                let entries: Vec<u64> = (0..ROW * ROW).map(|i| entry(i).wrapping_sub(7)).collect();
                self.matrices.push(Matrix::new(entries, vec![1; ROW]));
                let wire = self.trace.linear(x.wire, weight, 1);
                self.add(wire, bits + 6);
            }
            10 => {
                let most = bits + y.bits + 3;
                let width = Self::ring(most, more);
                if width >= most + 2 && self.width(x).min(self.width(y)) >= width {
                    let [a, b] = [x, y].map(|x| self.trace.open(x.wire, width, 0));
                    let products = self.trace.matmul(a, b, true);
                    // ROWS x ROWS: its sums stay.
                    let wire = self.trace.sum_last(products);
                    if most + 4 <= width {
                        self.rows.push(Shared { wire, bits: most + 2 });
                    }
                }
            }
            _ => self.rarer((which % 20, second, more), x, y),
        }
    }

    /// The steps that models take once or twice a layer.
    fn rarer(&mut self, (which, second, more): (u8, u8, u8), x: Shared, y: Shared) {
        let bits = x.bits;
        match which {
            11 if (5..=14).contains(&bits) => {
                // As if below 4: pieces of one power each.
                let window = Window::signed(bits + 2, bits - 2);
                let scaled = self.trace.rescale(x.wire, bits - 2);
                let opened = self.trace.open_window(scaled, window);
                let form = self.trace.exp2(opened);
                let bits = self.trace.spec(form).scale + 4;
                let wire = self.trace.lift(form, Self::ring(bits, second));
                self.rounds = true;
                self.add(wire, bits);
            }
            12 if bits <= 10 => {
                let opened = self.trace.open(x.wire, (bits + 1).max(3), 0);
                let form = self.trace.non_zero(opened);
                let wire = self.trace.lift(form, Self::ring(1, more));
                self.add(wire, 1);
                let share = self.trace.non_zero_share(opened, Self::ring(1, second));
                self.add(share, 1);
            }
            13 if bits >= 3 => {
                let opened = self.open(x, more);
                let lowest = 1 + u32::from(second) % 4;
                let marks: Vec<u32> = (lowest..=lowest + u32::from(more) % 4).collect();
                let coins = self.trace.coins(x.wire);
                let parts = self.trace.row_digest(opened, coins, 3, &marks);
                let parts = self.trace.lift(parts, Self::ring(3, second));
                let wire = self.trace.sum_last(parts);
                self.last.push(wire);
            }
            14 if bits + 3 <= self.width(x).min(25) => {
                let wire = self.trace.maximum(x.wire, (bits + 3).max(4));
                self.rows.push(Shared { wire, bits });
            }
            15 => {
                let Some(&row) = self.rows.get(usize::from(second) % self.rows.len().max(1)) else {
                    return;
                };
                let k = 3 + u32::from(more) % 6;
                if (5..=16).contains(&row.bits) && k < row.bits {
                    // Up to 16 bits of slope beside those of a piece's width.
                    let window = Window::signed(row.bits + 2, row.bits);
                    let scaled = self.trace.rescale(row.wire, row.bits);
                    let opened = self.trace.open_window(scaled, window);
                    let most = bits + 9 + row.bits + 2 - k;
                    if most + 2 > WIDEST {
                        let wire = self.trace.lift(opened, WIDEST);
                        return self.last.push(wire);
                    }
                    let width = Self::ring(most, second);
                    let form = self.trace.row_lookup(opened, Function::Sigmoid, k, 8, width);
                    let opened = self.open(x, more);
                    let wire = self.trace.product(opened, form, width);
                    self.add(wire, most);
                }
            }
            16 if bits >= 3 => {
                // Their top bits, read as not negative.
                let opened = self.open(x, more);
                let all = self.trace.spec(opened).opened().0;
                let lo = 1 + u32::from(second) % (all - 2);
                let top = self.trace.opened_bits(opened, lo, all - lo, 0);
                let wire = self.trace.lift(top, all - lo);
                self.last.push(wire);
            }
            17 => {
                let by = usize::from(more) % ROW;
                let turned: Vec<usize> = (0..ROW).map(|i| (i + by) % ROW).collect();
                let wire = self.trace.pick(x.wire, 1, &turned);
                let wire = self.trace.negate(wire);
                let wire = self.trace.permute(wire, &[1, 0]);
                let [first, rest] = [&[0][..], &[1, 2, 3, 4]].map(|i| self.trace.pick(wire, 0, i));
                let wire = self.trace.concat(0, &[rest, first]);
                let wire = self.trace.permute(wire, &[1, 0]);
                if bits + 3 <= self.width(x) {
                    let wire = self.trace.add_constant(wire, i64::from(more) % (1 << bits));
                    self.add(wire, bits + 1);
                }
            }
            18 if bits.max(y.bits) + 3 <= self.width(x).min(self.width(y)) => {
                // Of the rows' second entries, and of each two of one row.
                let width = bits.max(y.bits) + 3;
                let rescaled = self.trace.rescale(y.wire, self.trace.spec(x.wire).scale);
                let column = self.trace.pick(rescaled, 1, &[1]);
                let [a, b] = [x.wire, column].map(|w| self.trace.open(w, width, 1 << (width - 2)));
                let difference = self.trace.opened_difference(a, b, 1 << (width - 2));
                let wire = self.trace.lift(difference, Self::ring(width - 2, more));
                self.add(wire, width - 2);
                let open = self.trace.open(x.wire, width, 0);
                let pairs = self.trace.opened_pairs(open, &[0, 1, 2], &[4, 3, 3]);
                let signs = self.trace.lift(pairs, width);
                self.last.push(signs);
            }
            19 if (6..=22).contains(&bits) => {
                let k = 3 + u32::from(more) % 3;
                // Not below the thresholds' first, whatever the row.
                let format = MaxFormat::covering(k, 1, (1 << k) - 1, 1);
                let [opened, wire] = self.trace.coarse_max(x.wire, (bits + 2, 1 << bits), &format);
                self.last.push(wire);
                let bit = match second % 2 {
                    0 => self.trace.negative(opened),
                    _ => self.trace.non_negative(opened),
                };
                let wire = self.trace.lift(bit, Self::ring(1, more));
                self.add(wire, 1);
            }
            _ => {}
        }
    }
}

/// A plan of these steps, what its inputs may be, its matrices, and whether two parties round it otherwise.
fn built(inputs: &[u32], steps: &[Step]) -> (Plan, Vec<Matrix>, bool) {
    let mut plans = Plans::new(inputs);
    steps.iter().for_each(|step| plans.step(*step));
    let Plans { mut trace, full, rows, last, rounds, matrices } = plans;
    let made = full.iter().chain(&rows).map(|x| x.wire).chain(last);
    let outputs: Vec<Wire> = made
        .map(|wire| {
            let width = trace.spec(wire).share_width();
            trace.reveal(wire, width)
        })
        .collect();
    (trace.finish(&outputs), matrices, rounds)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_wire_of_a_random_plan_is_the_simulators(
        inputs in prop::collection::vec(4u32..20, 1..3),
        steps in prop::collection::vec(any::<Step>(), 1..14),
        seed: u64,
    ) {
        let (plan, matrices, rounds) = built(&inputs, &steps);
        let mut bench = Bench::new(seed);
        let values: Vec<Vec<i64>> =
            inputs.iter().map(|bits| bench.signed(ROWS * ROW, bits + 1)).collect();
        let dealt = bench.run_shared(&plan, matrices.clone(), &values);
        dealt.check_exact();
        prop_assert_eq!(&dealt.outputs[..inputs.len()], &values[..]);
        // A third of them: two parties that make correlations take longer.
        if seed % 3 == 0 {
            let made = bench.run_made(&plan, matrices, &values);
            if !rounds {
                made.check_exact();
            }
            prop_assert_eq!(&made.outputs[..inputs.len()], &values[..]);
        }
    }
}

/// Otherwise the test above would be of fewer gates than it says.
#[test]
fn random_steps_make_plans_of_every_gate() {
    let mut names = BTreeSet::new();
    for which in 0..20 {
        for more in [0, 7, 90, 255] {
            // A row to work with, then each step twice.
            let steps = [(14, 0, 0, 0), (which, 0, 1, more), (which, 1, 0, more)];
            let (plan, ..) = built(&[9, 12], &steps);
            names.extend(plan.nodes.iter().map(|node| node.gate.name()));
        }
    }
    let all = gate_plans::all();
    let other = all.iter().flat_map(|case| &case.plan.nodes).map(|node| node.gate.name());
    let missing: BTreeSet<&str> = other.filter(|name| !names.contains(name)).collect();
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["row table"]);
}
