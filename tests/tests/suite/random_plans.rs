//! Random legal plans of all cheap gates, in any order and at any width: every element of every wire is what the simulator
//! computes under the batch's masks, and every byte and flight what the plan says.
//!
//! Each step knows how large its values can be, so that what is built is legal and the rings are often as tight as they may be.

use proptest::prelude::*;
use sotto_protocols::{
    Wire,
    functions::{Function, Window},
    gates::lookup::Precision,
    plan::{Trace, WeightSpec},
    testing::Bench,
    weights::Matrix,
};

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
    matrices: Vec<Matrix>,
}

impl Plans {
    fn new(inputs: &[u32]) -> Self {
        let mut trace = Trace::new();
        let input = |&bits: &u32| Shared { wire: trace.input(&[ROWS, ROW], WIDEST, 8), bits };
        let full = inputs.iter().map(input).collect();
        Self { trace, full, rows: Vec::new(), matrices: Vec::new() }
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
        match which % 11 {
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
            3 if bits + 2 <= 25 => {
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
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_wire_of_a_random_plan_is_the_simulators(
        inputs in prop::collection::vec(4u32..20, 1..3),
        steps in prop::collection::vec(any::<Step>(), 1..14),
        seed: u64,
    ) {
        let mut plans = Plans::new(&inputs);
        steps.iter().for_each(|step| plans.step(*step));
        let Plans { mut trace, full, rows, matrices } = plans;
        let made: Vec<Wire> = full.iter().chain(&rows).map(|x| x.wire).collect();
        let outputs: Vec<Wire> = made.iter().map(|&wire| {
            let width = trace.spec(wire).share_width();
            trace.reveal(wire, width)
        }).collect();
        let plan = trace.finish(&outputs);
        let mut bench = Bench::new(seed);
        let values: Vec<Vec<i64>> =
            inputs.iter().map(|bits| bench.signed(ROWS * ROW, bits + 1)).collect();
        let outcome = bench.run_shared(&plan, matrices, &values);
        outcome.check_exact();
        prop_assert_eq!(&outcome.outputs[..inputs.len()], &values[..]);
    }
}
