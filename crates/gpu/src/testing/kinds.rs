//! Kinds of attention beyond those of the models: programs of odd shapes, and inputs that are hard on them.

use super::{close, everywhere, normal, tolerance};
use crate::{
    Precision, Program,
    kernel::Kernel,
    kernels::{
        Attention, ClippedSoftmax, Decode, GatedAttention, Gaussian, Heads, InlineAttention,
        IntegerAttention, LinearAttention, Lssa, Mala, integer_attention::Units,
    },
    program::Writer,
    scores::Scores,
};

/// What an input is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Input {
    /// Normal numbers.
    Normal,
    /// Twenty times as large: scores are hundreds.
    Large,
    /// All rows are the same.
    Equal,
    /// All numbers are zero.
    Zero,
}

/// Every input, one of a batch each.
pub(crate) const INPUTS: [Input; 4] = [Input::Normal, Input::Large, Input::Equal, Input::Zero];

/// What results are held to.
#[derive(Clone, Copy, PartialEq)]
enum Held {
    /// The definition's numbers: all are bytes.
    Exactly,
    /// [`tolerance`], or this with large numbers, and this with equal rows, where it is more.
    Within(f64, f64),
}

/// A program with what its results are held to.
pub(crate) struct Case {
    pub(crate) what: String,
    pub(crate) program: Program,
    /// Numbers of a row.
    row: usize,
    held: Held,
}

impl Case {
    fn new(what: &str, kernel: impl Kernel + 'static, rows: usize, held: Held) -> Self {
        let row = kernel.operands()[0].numbers / rows;
        let what = format!("{what} {rows} {row}");
        Self { what, program: Program::alone(kernel), row, held }
    }

    /// A batch: one of each of [`INPUTS`].
    pub(crate) fn inputs(&self, seed: u64) -> Vec<f32> {
        let (whole, size) = (self.held == Held::Exactly, self.program.input.1);
        let unit = if whole { 40.0 } else { 1.0 };
        let one = |input| {
            let numbers = match input {
                Input::Equal => normal(self.row, seed).into_iter().cycle().take(size).collect(),
                _ => normal(size, seed + 1),
            };
            let by = unit * [1.0, 20.0, 1.0, 0.0][input as usize];
            let number = |x: f32| match whole {
                true => (x * by).round().clamp(-128.0, 127.0),
                false => x * by,
            };
            numbers.into_iter().map(number).collect::<Vec<f32>>()
        };
        INPUTS.into_iter().flat_map(one).collect()
    }

    /// Holds a batch's results against the definition, each input by itself.
    #[cfg(feature = "cuda")]
    pub(crate) fn check(&self, what: &str, precision: Precision, inputs: &[f32], got: &[f32]) {
        check(&self.program, self.held, what, precision, inputs, got);
    }

    /// Holds the program against its definition on every device, in every format.
    pub(crate) fn hold(&mut self, seed: u64) {
        let (inputs, held) = (self.inputs(seed), self.held);
        let check = |what: &str, precision, program: &Program, inputs: &[f32], got: &[f32]| {
            check(program, held, what, precision, inputs, got);
        };
        everywhere(&self.what, &mut self.program, INPUTS.len(), &inputs, check);
    }
}

fn check(
    program: &Program,
    held: Held,
    what: &str,
    precision: Precision,
    inputs: &[f32],
    got: &[f32],
) {
    let each = inputs.chunks_exact(program.input.1).zip(got.chunks_exact(program.output.1));
    for (input, (inputs, got)) in INPUTS.into_iter().zip(each) {
        let most = match (held, input) {
            (Held::Exactly, _) => 0.0,
            (Held::Within(large, _), Input::Large) => tolerance(precision).max(large),
            (Held::Within(_, equal), Input::Equal) => tolerance(precision).max(equal),
            _ => tolerance(precision),
        };
        close(&format!("{what}, {input:?}"), program, (precision, most), inputs, got);
    }
}

/// Rows, heads and their width: one row, few, a width of whole sixteens as tensor cores take it, more than a workgroup has.
const SHAPES: [(usize, usize, usize); 4] = [(1, 1, 3), (17, 2, 6), (65, 2, 32), (70, 1, 21)];

/// Scores of hundreds are rounded by 1e-5 and more, and so are their exponentials.
const SCORES: Held = Held::Within(1e-4, 0.0);

/// What clipping leaves of equal weights is a small difference.
const CLIPPED: Held = Held::Within(1e-4, 1e-5);

/// What sums to 1 by a difference is off by as much as the likeness is larger.
const LIKENESS: Held = Held::Within(1e-3, 1e-5);

/// No size of numbers makes a difference.
const EASY: Held = Held::Within(0.0, 0.0);

/// Of bytes: [`Case::inputs`] are normal in them.
const UNITS: Units = Units { qkv: 1.0 / 40.0, score: 8.0 / 127.0, result: 1.0 / 40.0 };

pub(crate) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    for (rows, heads, dh) in SHAPES {
        let of = Heads::all(rows, heads, dh);
        for alpha in [1.0, 4.0] {
            let gamma = -alpha / rows as f32;
            let kernel = ClippedSoftmax { of: of.clone(), gamma, eta: 1.0 };
            all.push(Case::new(&format!("clipped softmax {alpha}"), kernel, rows, CLIPPED));
        }
        let kernel = ClippedSoftmax { of: of.clone(), gamma: 0.0, eta: 1.1 };
        all.push(Case::new("clipped softmax above", kernel, rows, SCORES));
        for kind in [Scores::Softmax, Scores::Unified { phi: 0.0 }, Scores::Relu] {
            let kinds = (0..heads).map(|head| (head, kind)).collect();
            let kernel = GatedAttention { attention: Attention { rows, heads, dh, kinds } };
            all.push(Case::new(&format!("gated {kind:?}"), kernel, rows, SCORES));
        }
        all.push(Case::new("InLine", InlineAttention { of: of.clone() }, rows, LIKENESS));
        all.push(Case::new("MALA", Mala { of: of.clone() }, rows, LIKENESS));
        all.push(Case::new("Gaussian", Gaussian { of: of.clone() }, rows, EASY));
        all.push(Case::new("LSSA", Lssa { of: of.clone() }, rows, EASY));
        let kernel = IntegerAttention::new(of, UNITS).expect("32 bits are enough");
        all.push(Case::new("integer", kernel, rows, Held::Exactly));
    }
    all.extend(decodes());
    all.push(mixed());
    all.extend(apart());
    all
}

/// One query over few and many keys, in few and many parts.
fn decodes() -> impl Iterator<Item = Case> {
    let shapes =
        [(1, 1, 3, 1), (17, 3, 6, 2), (300, 3, 64, 7), (600, 2, 80, 1000), (1000, 1, 21, 5)];
    shapes.into_iter().map(|(rows, heads, dh, parts)| {
        let what = format!("decode {rows} {heads} {dh} {parts}");
        let program = Decode::new(rows, heads, dh, parts).program();
        Case { what, program, row: heads * dh, held: SCORES }
    })
}

/// Kernels of all kinds write their heads' columns of one tensor.
fn mixed() -> Case {
    let (rows, heads, dh) = (20, 7, 8);
    let row = 3 * heads * dh;
    let of = |mine: &[usize]| Heads { mine: mine.to_vec(), ..Heads::all(rows, heads, dh) };
    let (mut writer, qkv) = Writer::new(rows * row);
    let made = writer.launch(LinearAttention { of: of(&[3]) }, &[qkv]);
    let clipped = ClippedSoftmax { of: of(&[6, 0]), gamma: -0.05, eta: 1.0 };
    writer.launch_into(made, clipped, &[qkv]);
    writer.launch_into(made, Lssa { of: of(&[1]) }, &[qkv]);
    writer.launch_into(made, InlineAttention { of: of(&[5]) }, &[qkv]);
    writer.launch_into(made, Mala { of: of(&[2]) }, &[qkv]);
    let kinds = vec![(4, Scores::Sigmoid)];
    writer.launch_into(made, Attention { rows, heads, dh, kinds }, &[qkv]);
    let program = writer.finish(made);
    Case { what: "mixed kinds".into(), program, row, held: LIKENESS }
}

/// Kinds whose operand is another's: two kernels of one kind write their heads' columns of one tensor.
fn apart() -> [Case; 3] {
    let (rows, heads, dh) = (20, 3, 8);
    let of = |mine: &[usize]| Heads { mine: mine.to_vec(), ..Heads::all(rows, heads, dh) };
    let gated = |kinds| GatedAttention { attention: Attention { rows, heads, dh, kinds } };
    let integer = |mine| IntegerAttention::new(of(mine), UNITS).expect("32 bits are enough");
    let ([first, second], relu) = ([[0].as_slice(), &[2, 1]], Scores::Relu);
    [
        two("gated", gated(vec![(0, relu)]), gated(vec![(2, relu), (1, relu)]), rows, SCORES),
        two("Gaussian", Gaussian { of: of(first) }, Gaussian { of: of(second) }, rows, EASY),
        two("integer", integer(first), integer(second), rows, Held::Exactly),
    ]
}

fn two(
    what: &str,
    first: impl Kernel + 'static,
    second: impl Kernel + 'static,
    rows: usize,
    held: Held,
) -> Case {
    let numbers = first.operands()[0].numbers;
    let (mut writer, input) = Writer::new(numbers);
    let made = writer.launch(first, &[input]);
    writer.launch_into(made, second, &[input]);
    let (what, program) = (format!("{what} apart"), writer.finish(made));
    Case { what, program, row: numbers / rows, held }
}

/// A program of each kind with so many rows.
#[cfg(feature = "cuda")]
pub(crate) fn sized(rows: usize, heads: usize, dh: usize) -> Vec<Program> {
    let of = || Heads::all(rows, heads, dh);
    let kinds = (0..heads).map(|head| (head, Scores::Softmax)).collect();
    let attention = Attention { rows, heads, dh, kinds };
    let integer = IntegerAttention::new(of(), UNITS).expect("32 bits are enough");
    vec![
        Program::alone(ClippedSoftmax { of: of(), gamma: -4.0 / rows as f32, eta: 1.0 }),
        Program::alone(GatedAttention { attention }),
        Program::alone(InlineAttention { of: of() }),
        Program::alone(Mala { of: of() }),
        Program::alone(Gaussian { of: of() }),
        Program::alone(Lssa { of: of() }),
        Program::alone(integer),
        Decode::new(rows, heads, dh, 3).program(),
    ]
}
