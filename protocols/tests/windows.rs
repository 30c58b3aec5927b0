//! Every gate that reads a window, in windows on either side of zero and across it.

use proptest::prelude::*;
use sotto_protocols::{
    Wire,
    functions::{Function, Window},
    gates::{lookup::Precision, row_table::Rows},
    plan::Trace,
    testing::Bench,
};

const SCALE: u32 = 12;
const COUNT: usize = 64;

/// Opens numbers of the window but for `margins` at its two ends, applies `gate` and gives arguments and results.
fn run(
    window: Window,
    margins: [f64; 2],
    seed: u64,
    gate: impl Fn(&mut Trace, Wire) -> Wire,
) -> Vec<(f64, f64)> {
    let mut bench = Bench::new(seed);
    let mut t = Trace::new();
    let x = t.input(&[COUNT], 50, window.scale);
    let c = t.open_window(x, window);
    let y = gate(&mut t, c);
    let scale = t.spec(y).scale;
    let y = t.reveal(y, 56);
    let plan = t.finish(&[y]);
    let unit = f64::from(window.scale).exp2();
    let (low, length) = (window.low as f64 / unit, f64::from(window.bits).exp2() / unit);
    let [below, above] = margins;
    let input: Vec<i64> = (0..COUNT)
        .map(|_| ((low + below + bench.unit() * (length - below - above)) * unit).round() as i64)
        .collect();
    let result = bench.run_shared(&plan, Vec::new(), std::slice::from_ref(&input));
    result.check_exact();
    let values = result.outputs[0].iter().map(|y| *y as f64 / f64::from(scale).exp2());
    input.iter().map(|x| *x as f64 / unit).zip(values).collect()
}

fn close(pairs: Vec<(f64, f64)>, function: impl Fn(f64) -> f64, bound: f64) {
    for (x, y) in pairs {
        let error = (y - function(x)).abs();
        assert!(error <= bound, "at {x}: {y}, off by {error}");
    }
}

/// Low ends from far below zero to far above it, and those that just touch it.
fn low(length: i64) -> impl Strategy<Value = i64> {
    prop_oneof![4 => -20 * length..20 * length, 1 => Just(-length), 1 => Just(0), 1 => -length..0]
}

fn smooth() -> impl Strategy<Value = Function> {
    let all = [Function::Gelu { stretch: 1.0 }, Function::Sigmoid, Function::Tanh, Function::Silu];
    prop::sample::select(all.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn lookups(low in low(1 << 14), function in smooth(), seed: u64) {
        let window = Window { bits: 14, low, scale: SCALE };
        let precision = Precision { k: 8, value_scale: 12, slope_scale: 12 };
        let pairs = run(window, [0.0, 0.02], seed, |t, x| {
            let y = t.lookup(x, function, precision);
            t.lift(y, 56)
        });
        close(pairs, |x| function.at(x), 1.2e-3);
    }

    #[test]
    fn row_lookups(low in low(1 << 14), function in smooth(), seed: u64) {
        let window = Window { bits: 14, low, scale: SCALE };
        let pairs = run(window, [0.0, 0.02], seed, |t, x| {
            let y = t.row_lookup(x, function, 8, 14, 56);
            t.lift(y, 56)
        });
        close(pairs, |x| function.at(x), 2e-4);
    }

    #[test]
    fn row_tables(low in low(1 << 14), function in smooth(), seed: u64) {
        let window = Window { bits: 14, low, scale: SCALE };
        let rows = Rows { m: 3, degree: 3, value_scale: 14 };
        let pairs = run(window, [0.0, 0.51], seed, |t, x| t.row_table(x, function, rows, 56));
        close(pairs, |x| function.at(x), 1e-3);
    }

    /// Powers of two: their windows start at whole numbers and end at 2^6 at most.
    #[test]
    fn exponentials(low in -40i64..=-10, seed: u64) {
        for low in [low, -16, -12, -8] {
            let window = Window { bits: SCALE + 4, low: low << SCALE, scale: SCALE };
            let pairs = run(window, [1.0, 0.001], seed, |t, x| {
                let y = t.exp2(x);
                t.lift(y, 56)
            });
            let top = (low as f64 + 16.0).max(0.0).exp2();
            close(pairs, f64::exp2, 5e-4 * top + 1e-4);
        }
    }
}

#[test]
fn exponentials_above_one() {
    // [2, 10) powers of two: none of them below zero.
    let window = Window { bits: SCALE + 3, low: 2 << SCALE, scale: SCALE };
    let pairs = run(window, [1.0, 0.001], 1, |t, x| {
        let y = t.exp2(x);
        t.lift(y, 56)
    });
    for (x, y) in pairs {
        let error = (y / x.exp2() - 1.0).abs();
        assert!(error < 5e-3, "2^{x} = {y}, off by {error}");
    }
}
