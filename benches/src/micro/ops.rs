//! The measured functions, built out of gates with the widths that a model of ours would give them, on inputs of the
//! peers' benchmark (its distributions).

use std::f64::consts::LOG2_E;

use sotto_protocols::{
    compose::{norm::NormFormat, row_max::MaxFormat},
    functions::{Function, Window},
    gates::lookup::Precision,
    plan::{Trace, WeightSpec},
    weights::Matrix,
};

use super::case::{Case, Draws};

/// A benchmark by name.
pub struct Op {
    /// The name in records.
    pub name: &'static str,
    /// The peers' operation that it is compared with.
    pub peer: &'static str,
    /// What to know when comparing.
    pub note: &'static str,
    /// Makes inputs and truth.
    pub case: fn() -> Case,
}

const fn op(name: &'static str, note: &'static str, case: fn() -> Case) -> Op {
    Op { name, peer: name, note, case }
}

/// All of them.
pub const OPS: &[Op] = &[
    op(
        "less_100k",
        "x < 0 on 21 bits (|x| < 128, 12 fractional bits; the peers compare 64 bits), as a 32-bit share",
        less,
    ),
    op("relu_100k", "the same comparison, then the product; 32-bit result", relu),
    op(
        "exp_100k",
        "input in base 2 with 10 fractional bits (log2 e is folded into the weights)",
        exp,
    ),
    op("gelu_100k", "exact erf; 2^9 pieces on +-16", gelu),
    op(
        "recip_100k",
        "one table of 2^13 pieces; models use it once a row, not once an element",
        recip,
    ),
    op(
        "rsqrt_100k",
        "one table of 2^13 pieces; models use it once a row, not once an element",
        rsqrt,
    ),
    op(
        "softmax_12x128x128",
        "scores in base 2; coarse row maximum; exp; 1 / sum once a row",
        softmax,
    ),
    op(
        "layernorm_128x768",
        "rows of mean zero (the mean, scale and shift are folded into the weights)",
        layer_norm,
    ),
    op("matmul_128x768x3072", "two secrets", || matmul(128, 768, 3072)),
    Op {
        name: "linear_128x768x3072",
        peer: "matmul_128x768x3072",
        note: "the server knows the weights; masked weights (once) not counted; the peers multiply two secrets",
        case: || linear(128, 768, 3072),
    },
    op("matmul_64x256x256", "two secrets", || matmul(64, 256, 256)),
    Op {
        name: "linear_64x256x256",
        peer: "matmul_64x256x256",
        note: "as linear_128x768x3072",
        case: || linear(64, 256, 256),
    },
];

/// Elements of the element-wise functions.
const N: usize = 100_000;
/// Fractional bits of activations.
const SCALE: u32 = 12;
/// Ring of the inputs and of results that keep [`SCALE`].
const RING: u32 = 32;

/// An element-wise function.
fn each(
    x: Vec<f64>,
    f: impl Fn(f64) -> f64,
    build: impl Fn(&mut Trace) -> sotto_protocols::Wire + 'static,
) -> Case {
    let truth = x.iter().map(|&x| f(x)).collect();
    Case::new(vec![x], truth, build)
}

fn less() -> Case {
    // Rounded beforehand: the sign of a number that rounds to zero is nobody's error.
    let unit = f64::from(SCALE).exp2();
    let x = Draws::new(1).normal(N, 4.0);
    let x = x.iter().map(|x| (x * unit).round() / unit).collect();
    each(
        x,
        |x| f64::from(x < 0.0),
        |t| {
            let x = t.input(&[N], RING, SCALE);
            let x = t.open_signed(x, 21);
            let bit = t.negative(x);
            t.lift(bit, RING)
        },
    )
}

fn relu() -> Case {
    let x = Draws::new(2).normal(N, 4.0);
    each(
        x,
        |x| x.max(0.0),
        |t| {
            let x = t.input(&[N], RING, SCALE);
            let x = t.open_signed(x, 21);
            t.relu(x, RING)
        },
    )
}

fn exp() -> Case {
    let x = Draws::new(3).uniform(N, -8.0, 2.0);
    let truth = x.iter().map(|x| x.exp()).collect();
    let x = x.iter().map(|x| x * LOG2_E).collect();
    Case::new(vec![x], truth, |t| {
        let x = t.input(&[N], RING, 10);
        // [-13, 3), of which the lowest unit is not reached.
        let x = t.open(x, 14, 13 << 10);
        let y = t.exp2(x);
        let drop = t.spec(y).scale - SCALE;
        let y = t.lift(y, RING + drop);
        t.truncate_to(y, SCALE)
    })
}

/// A function by one table in a window, as a share of the ring at [`SCALE`].
fn table(
    t: &mut Trace,
    function: Function,
    window: Window,
    precision: Precision,
) -> sotto_protocols::Wire {
    let x = t.input(&[N], RING, SCALE);
    let x = t.open_window(x, window);
    let y = t.lookup(x, function, precision);
    let drop = t.spec(y).scale - SCALE;
    let y = t.lift(y, RING + drop);
    t.truncate_to(y, SCALE)
}

fn gelu() -> Case {
    let x = Draws::new(4).normal(N, 2.0);
    let function = Function::Gelu { stretch: 1.0 };
    let precision = Precision { k: 9, value_scale: SCALE, slope_scale: SCALE };
    each(
        x,
        move |x| function.at(x),
        move |t| table(t, function, Window::signed(17, SCALE), precision),
    )
}

/// `[low, low + 128)` for a `low` of this many units of the scale.
fn from(low: i64) -> Window {
    Window { bits: SCALE + 7, low, scale: SCALE }
}

fn recip() -> Case {
    // The window's last piece is kept free.
    let x = Draws::new(5).uniform(N, 0.5, 128.0);
    let function = Function::Reciprocal { floor: 0.4375 };
    let precision = Precision { k: 13, value_scale: 14, slope_scale: 14 };
    each(x, |x| 1.0 / x, move |t| table(t, function, from(2_048), precision))
}

fn rsqrt() -> Case {
    let x = Draws::new(6).uniform(N, 0.1, 100.0);
    let function = Function::InverseRoot { count: 1.0, epsilon: 0.0, floor: 0.08 };
    let precision = Precision { k: 13, value_scale: 14, slope_scale: 14 };
    each(x, |x| 1.0 / x.sqrt(), move |t| table(t, function, from(384), precision))
}

fn softmax() -> Case {
    let (heads, rows, n) = (12, 128, 128);
    let scores = Draws::new(7).normal(heads * rows * n, 2.0);
    let mut truth = Vec::with_capacity(scores.len());
    for row in scores.chunks_exact(n) {
        let largest = row.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
        truth.extend(row.iter().map(|x| (x - largest).exp() / sum));
    }
    let scores = scores.iter().map(|x| x * LOG2_E).collect();
    Case::new(vec![scores], truth, move |t| {
        // Scores of 16 bits, 10 of them fractional: +-32 powers of two, twice what occurs. Row maxima
        // lie in 2 to 16; powers have 14 fractional bits, sums 12.
        let (width, scale, power_scale) = (16, 10, 14);
        let window = (1u64 << width) - (2 << scale);
        let s = t.input(&[heads, rows, n], RING, scale);
        let format = MaxFormat::covering(6, 32 + 1, 32 + 20, 1);
        let [s, m] = t.coarse_max(s, (width, 1 << (width - 1)), &format);
        let m = t.open(m, width, 0);
        let x = t.opened_difference(s, m, window);
        let e = t.exp2(x);
        let drop = t.spec(e).scale - power_scale;
        let e = t.lift(e, 24 + drop);
        let e = t.truncate_to(e, power_scale);
        let sum = t.sum_last(e);
        let sum = t.truncate_to(sum, SCALE);
        let sum = t.open_window(sum, Window::positive(SCALE + 9, SCALE));
        let (k, slope_scale) = (13, 12);
        let result = 16;
        let wide = RING + power_scale + slope_scale + SCALE + 9 - k - result;
        let factor = t.row_lookup(sum, Function::Reciprocal { floor: 0.25 }, k, slope_scale, wide);
        let e = t.open_signed(e, power_scale + 4);
        let y = t.product(e, factor, wide);
        t.truncate_to(y, result)
    })
}

fn layer_norm() -> Case {
    let (rows, d) = (128, 768);
    let mut x = Draws::new(8).normal(rows * d, 2.0);
    let mut truth = Vec::with_capacity(x.len());
    for row in x.chunks_exact_mut(d) {
        let mean = row.iter().sum::<f64>() / d as f64;
        row.iter_mut().for_each(|x| *x -= mean);
        let variance = row.iter().map(|x| x * x).sum::<f64>() / d as f64;
        truth.extend(row.iter().map(|x| x / (variance + 1e-5).sqrt()));
    }
    // Sums of squares of about 2^11.6, with two bits of margin.
    let squares = Window::positive(15, 1);
    let format = NormFormat { width: 20, squares, k: 13, slope_scale: 14, bands: None };
    Case::new(vec![x], truth, move |t| {
        let x = t.input(&[rows, d], RING, SCALE);
        t.layer_norm(x, &format, 1e-5, RING)
    })
}

/// Scales of the factors and ring of the product: more precise than the models' 12, 14 bits, as the peers' are.
const FACTORS: (u32, u32, u32) = (16, 18, 52);

/// `a` is `m x k`, `b` is `n x k`: normal numbers such that the products have deviation 1.
fn factors(m: usize, k: usize, n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut draws = Draws::new((m * k * n) as u64);
    let a = draws.normal(m * k, 1.0);
    let b = draws.normal(n * k, 1.0 / (k as f64).sqrt());
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    let truth = a.chunks_exact(k).flat_map(|a| b.chunks_exact(k).map(move |b| dot(a, b)));
    let truth = truth.collect();
    (a, b, truth)
}

fn matmul(m: usize, k: usize, n: usize) -> Case {
    let (a, b, truth) = factors(m, k, n);
    let (scale_a, scale_b, width) = FACTORS;
    Case::new(vec![a, b], truth, move |t| {
        let a = t.input(&[m, k], 64, scale_a);
        let b = t.input(&[n, k], 64, scale_b);
        let a = t.open(a, width, 0);
        let b = t.open(b, width, 0);
        let y = t.matmul(a, b, true);
        t.truncate_to(y, scale_a)
    })
}

fn linear(m: usize, k: usize, n: usize) -> Case {
    let (a, b, truth) = factors(m, k, n);
    let (scale_a, scale, width) = FACTORS;
    let unit = f64::from(scale).exp2();
    let entries: Vec<u64> = b.iter().map(|x| (x * unit).round() as i64 as u64).collect();
    let mut case = Case::new(vec![a], truth, move |t| {
        let a = t.input(&[m, k], 64, scale_a);
        let spec = WeightSpec { name: "weights".into(), outputs: n, inputs: k, width, scale };
        let weight = t.weight(spec);
        let y = t.linear(a, weight, 1);
        t.truncate_to(y, scale_a)
    });
    case.matrices = vec![Matrix::new(entries, vec![0; n])];
    case
}
