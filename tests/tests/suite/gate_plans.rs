//! One small plan for each kind of gate that opens something, with two inputs far from each other.

use std::sync::Arc;

use sotto_protocols::{
    compose::{
        norm::{NormFormat, Rows as NormRows},
        row_max::MaxFormat,
    },
    functions::{Function, Window},
    gates::{exp::ExpFormat, lookup::Precision, row_table::Rows},
    plan::{Plan, Trace, WeightSpec},
    weights::Matrix,
};

/// What both parties may put into one plan.
pub struct Secrets {
    pub matrices: Vec<Matrix>,
    pub inputs: Vec<Vec<i64>>,
}

/// A plan and two fixed choices of everything secret.
pub struct Case {
    pub name: String,
    pub plan: Arc<Plan>,
    pub secrets: [Secrets; 2],
    /// Evaluations that make the statistics sharp enough.
    pub runs: usize,
}

fn case(name: &str, plan: Plan, inputs: [Vec<Vec<i64>>; 2]) -> Case {
    let secrets = inputs.map(|inputs| Secrets { matrices: Vec::new(), inputs });
    Case { name: name.into(), plan: Arc::new(plan), secrets, runs: 64 }
}

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        open(),
        linear(),
        products(),
        lookup(),
        row_table(),
        row_lookup(),
        exp(),
        compare(),
        thresholds(),
        row_digest(),
        non_zero(),
        coarse_max(),
        maximum(),
        layer_norm(),
        layer_norm_of_unlike_rows(),
        argmax(),
        argmax_of_groups(),
    ]
}

pub fn open() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[64], 40, 8);
    let low = t.open(x, 17, 1 << 16);
    let all = t.open(x, 40, 0);
    let low = t.lift(low, 30);
    let all = t.lift(all, 40);
    let outputs = [t.reveal(low, 30), t.reveal(all, 40)];
    let plan = t.finish(&outputs);
    case("open", plan, [vec![vec![-32_000; 64]], vec![vec![32_000; 64]]])
}

fn linear() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[6, 8], 34, 8);
    let mut weight = |outputs, inputs, width| {
        let name = format!("{outputs} x {inputs}");
        t.weight(WeightSpec { name, outputs, inputs, width, scale: 4 })
    };
    let (first, second) = (weight(7, 8, 34), weight(5, 7, 30));
    let y = t.linear(x, first, 3);
    let y = t.truncate_to(y, 8);
    // The server's view of a value that neither party knows.
    let y = t.linear(y, second, 1);
    let y = t.reveal(y, 30);
    let plan = t.finish(&[y]);
    let secrets = [(0, 0), (-900, 400)].map(|(input, entry): (i64, i64)| {
        let matrix = |count: usize, bias: usize| {
            Matrix::new(vec![entry as u64; count], vec![entry * 7; bias])
        };
        Secrets { matrices: vec![matrix(56, 21), matrix(35, 5)], inputs: vec![vec![input; 48]] }
    });
    Case { name: "linear".into(), plan: Arc::new(plan), secrets, runs: 64 }
}

fn products() -> Case {
    let mut t = Trace::new();
    let a = t.input(&[2, 4, 6], 50, 6);
    let b = t.input(&[2, 5, 6], 50, 6);
    let oa = t.open(a, 33, 0);
    let ob = t.open(b, 33, 0);
    let c = t.matmul(oa, ob, true);
    let x = t.open_signed(a, 18);
    let squares = t.square_sum(x, 40);
    let square = t.product(x, x, 40);
    // Opened again, fresh masks over what the dealt products made.
    let c = t.open_signed(c, 33);
    let squares = t.open(squares, 40, 0);
    let square = t.open(square, 40, 0);
    let lifted = [t.lift(c, 33), t.lift(squares, 40), t.lift(square, 40)];
    let outputs = lifted.map(|w| t.reveal(w, 20));
    let plan = t.finish(&outputs);
    let inputs = [vec![vec![0; 48], vec![0; 60]], vec![vec![60_000; 48], vec![-60_000; 60]]];
    case("matmul, product, square sum", plan, inputs)
}

fn lookup() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[48], 40, 12);
    let x = t.open_window(x, Window::signed(16, 12));
    let precision = Precision { k: 9, value_scale: 12, slope_scale: 12 };
    let y = t.lookup(x, Function::Gelu { stretch: 1.0 }, precision);
    let y = t.lift(y, 48);
    let y = t.reveal(y, 48);
    let plan = t.finish(&[y]);
    case("lookup", plan, [vec![vec![-30_000; 48]], vec![vec![30_000; 48]]])
}

fn row_table() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[20], 40, 12);
    let x = t.open_window(x, Window::signed(16, 12));
    let rows = Rows { m: 4, degree: 3, value_scale: 14 };
    let y = t.row_table(x, Function::Gelu { stretch: 1.0 }, rows, 48);
    // The table's shares, opened again.
    let y = t.open_signed(y, 40);
    let y = t.lift(y, 40);
    let y = t.reveal(y, 40);
    let plan = t.finish(&[y]);
    case("row table", plan, [vec![vec![-30_000; 20]], vec![vec![30_000; 20]]])
}

fn row_lookup() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[48, 2], 40, 12);
    let v = t.input(&[48], 40, 12);
    let x = t.open_signed(x, 20);
    let v = t.open_window(v, Window::positive(18, 12));
    let f = t.row_lookup(v, Function::Reciprocal { floor: 0.5 }, 9, 12, 50);
    let y = t.product(x, f, 50);
    let y = t.reveal(y, 50);
    let plan = t.finish(&[y]);
    let inputs = [vec![vec![0; 96], vec![3_000; 48]], vec![vec![200_000; 96], vec![240_000; 48]]];
    case("row lookup", plan, inputs)
}

fn exp() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[48], 30, 10);
    let x = t.open(x, 16, 62 << 10);
    let y = t.exp2(x);
    let y = t.lift(y, 58);
    let wide = t.exp2_below(x, ExpFormat { span: 2, top: 2, head: 13 });
    let wide = t.lift(wide, 50);
    let outputs = [t.reveal(y, 58), t.reveal(wide, 50)];
    let plan = t.finish(&outputs);
    case("exp", plan, [vec![vec![-30_000; 48]], vec![vec![2_000; 48]]])
}

fn compare() -> Case {
    let mut t = Trace::new();
    let mut outputs = Vec::new();
    for width in [7, 12, 17, 25] {
        let x = t.input(&[40], 40, 3);
        let x = t.open_signed(x, width);
        let y = t.relu(x, 30);
        outputs.push(t.reveal(y, 30));
    }
    let plan = t.finish(&outputs);
    let inputs = |sign: i64| [30, 1000, 30_000, 8_000_000].map(|x| vec![sign * x; 40]).to_vec();
    case("compare", plan, [inputs(-1), inputs(1)])
}

fn thresholds() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[40], 30, 10);
    let x = t.open(x, 16, 1 << 15);
    let mut outputs = Vec::new();
    for (k, thresholds) in
        [(6, [1, 20, 33, 34, 63]), (3, [1, 2, 4, 5, 7]), (9, [1, 9, 99, 300, 511])]
    {
        let b = t.thresholds(x, k, &thresholds);
        let b = t.lift(b, 8);
        let b = t.sum_last(b);
        outputs.push(t.reveal(b, 8));
    }
    let plan = t.finish(&outputs);
    case("thresholds", plan, [vec![vec![-32_000; 40]], vec![vec![32_000; 40]]])
}

fn row_digest() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[3, 15], 30, 10);
    let (x, coins) = (t.open(x, 16, 1 << 15), t.coins(x));
    let mut outputs = Vec::new();
    // 7 bits a word, so that the last byte has padding; then more than one byte a word.
    for (k, thresholds) in [(6, 30..37), (8, 100..111)] {
        let thresholds: Vec<u32> = thresholds.collect();
        let b = t.row_digest(x, coins, k, &thresholds);
        let b = t.lift(b, 4);
        let b = t.sum_last(b);
        outputs.push(t.reveal(b, 4));
    }
    let plan = t.finish(&outputs);
    case("row digest", plan, [vec![vec![-32_000; 45]], vec![vec![32_000; 45]]])
}

fn non_zero() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[48], 20, 0);
    let x = t.open(x, 7, 0);
    let form = t.non_zero(x);
    let form = t.lift(form, 16);
    let share = t.non_zero_share(x, 6);
    let share = t.open(share, 6, 0);
    let share = t.lift(share, 6);
    let outputs = [t.reveal(form, 16), t.reveal(share, 6)];
    let plan = t.finish(&outputs);
    case("non-zero", plan, [vec![vec![0; 48]], vec![vec![77; 48]]])
}

fn coarse_max() -> Case {
    let mut t = Trace::new();
    let mut outputs = Vec::new();
    // By counts, and by digests.
    for row in [5, 130] {
        let x = t.input(&[8, row], 30, 10);
        let [x, m] = t.coarse_max(x, (16, 1 << 15), &MaxFormat::covering(6, 28, 44, 1));
        let m = t.open(m, 16, 0);
        let y = t.opened_difference(x, m, 62 << 10);
        let y = t.lift(y, 16);
        outputs.push(t.reveal(y, 16));
    }
    let plan = t.finish(&outputs);
    let inputs = |x: i64| vec![vec![x; 40], vec![x; 1040]];
    case("coarse maximum", plan, [inputs(-3_500), inputs(11_000)])
}

fn maximum() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[20, 3], 40, 8);
    let y = t.maximum(x, 18);
    let y = t.reveal(y, 20);
    let plan = t.finish(&[y]);
    let rows = |x: [i64; 3]| vec![x.repeat(20)];
    case("maximum", plan, [rows([0; 3]), rows([-30_000, 30_000, 7])])
}

fn layer_norm() -> Case {
    let format = NormFormat {
        width: 20,
        squares: Window::positive(18, 7),
        k: 10,
        slope_scale: 9,
        bands: None,
    };
    let mut t = Trace::new();
    let x = t.input(&[16, 8], 20, 12);
    let y = t.layer_norm(x, &format, 1e-5, 36);
    let y = t.reveal(y, 36);
    let plan = t.finish(&[y]);
    let waves = |x: i64| vec![(0..128).map(|i| if i % 2 == 0 { x } else { -x }).collect()];
    Case { runs: 128, ..case("layer norm", plan, [waves(6_000), waves(60_000)]) }
}

/// A norm in bands: slices of one opening, wide comparisons.
fn layer_norm_of_unlike_rows() -> Case {
    let rows = NormRows { count: 8.0, scale: 12, least: 8e-3, most: 8e4 };
    let format = NormFormat::in_bands(24, &rows, 1, 30).unwrap();
    let mut t = Trace::new();
    let x = t.input(&[16, 8], 24, 12);
    let width = 64 - format.factor_scale();
    let y = t.layer_norm(x, &format, 1e-5, width);
    let y = t.reveal(y, width);
    let plan = t.finish(&[y]);
    let waves = |x: i64| vec![(0..128).map(|i| if i % 2 == 0 { x } else { -x }).collect()];
    Case { runs: 128, ..case("layer norm in bands", plan, [waves(200), waves(400_000)]) }
}

/// More classes than are compared all at once.
fn argmax_of_groups() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[1, 260], 30, 12);
    let y = t.argmax(x, 18);
    let plan = t.finish(&[y]);
    let logits = |x: i64| vec![(0..260).map(|i| x * (i % 61 - 30)).collect()];
    case("argmax of groups", plan, [logits(0), logits(2_000)])
}

fn argmax() -> Case {
    let mut t = Trace::new();
    let x = t.input(&[16, 5], 30, 12);
    let y = t.argmax(x, 18);
    let plan = t.finish(&[y]);
    let logits = |x: [i64; 5]| vec![x.repeat(16)];
    case("argmax", plan, [logits([0; 5]), logits([-60_000, 60_000, -1, 60_001, 3])])
}
