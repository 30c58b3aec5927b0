//! All after the last layer: the last norm of the rows that make the result, and the result.
//!
//! | output | result |
//! |--|--|
//! | classes | `W p + b` of the pooled row `p`, or of `activation(W' p + b')` |
//! | token labels | `W n + b` of each row |
//! | embedding | the pooled row |
//!
//! A mean over rows is taken of the results, which are linear in them, so that it is a local sum. The client learns the sum
//! and divides by the number of rows, which it knows. Where results are rounded, the sum is raised to the width of the longest text's
//! first (`HeadFormat::raised`), so that a short text's mean has as many bits. Where the length is hidden, the sum over the text's own rows is a product of
//! shares, of the results with a row of ones and zeros: both are opened under uniform masks of the ring, one flight more.

mod format;

use std::borrow::Cow;

use ndarray::{Array2, Axis, concatenate, s};
use sotto_protocols::{
    Wire,
    compose::attention::Hidden,
    plan::{Trace, WeightSpec},
};

use crate::{
    Model, Weights,
    fixed::{ACTIVATION, WEIGHT},
    layer::{Section, activation, last_norm, norm},
    layout::Layout,
    matrix::{Folded, Named},
    model::{Output, Place, Pool},
    options::{Options, Reveal},
    probe::{Probe, Tensor},
    rows::{flat, linear},
    weights::{Linear, Norm},
};
pub use format::{HeadFormat, format};

/// Which of an input's rows the head reads.
pub fn read(model: &Model, rows: usize) -> Vec<usize> {
    let lead = model.pixels().map_or(0, |p| p.lead);
    match model.output.pool() {
        Some(Pool::First) => vec![0],
        Some(Pool::FirstTwo) => vec![0, 1],
        Some(Pool::Mean) => (lead..rows).collect(),
        Some(Pool::FirstAndMean) => std::iter::once(0).chain(lead..rows).collect(),
        None => (0..rows).collect(),
    }
}

/// Whether the last layer computes the rows that the head reads alone: where these are few, and the model is none of
/// MPCViT's, whose plans compute all.
pub fn prunes(model: &Model) -> bool {
    let few = matches!(model.output.pool(), Some(Pool::First | Pool::FirstTwo));
    few && model.stack.place != Place::Mpcvit
}

/// Rows that an input's result is a mean of, and which the revealed sum is divided by.
fn meant(model: &Model, rows: usize) -> usize {
    match model.output.pool() {
        Some(Pool::Mean) => read(model, rows).len(),
        _ => 1,
    }
}

/// Numbers in an input's result.
pub fn numbers(model: &Model, rows: usize) -> usize {
    match model.output {
        Output::Classes(_) => model.output.classes(),
        Output::Tokens { classes } => rows * classes,
        Output::Embedding { .. } => model.stack.width,
    }
}

/// The result of the normed rows that [`read`] names.
pub fn float(model: &Model, weights: &Weights, n: Array2<f32>, probe: &mut dyn Probe) -> Vec<f32> {
    let layers = model.stack.layers;
    let mean = |rows: &Array2<f32>| {
        let mean = rows.mean_axis(Axis(0)).expect("a picture has patches, a text words");
        mean.insert_axis(Axis(0))
    };
    let mut pooled = match model.output.pool() {
        Some(Pool::Mean) => mean(&n),
        Some(Pool::FirstTwo) => {
            let values = n.into_iter().collect();
            Array2::from_shape_vec((1, 2 * model.stack.width), values).expect("two rows")
        }
        Some(Pool::FirstAndMean) => {
            let (first, rest) = (n.slice(s![..1, ..]), n.slice(s![1.., ..]).to_owned());
            let both = concatenate(Axis(1), &[first, mean(&rest).view()]);
            both.expect("both are one row").as_standard_layout().to_owned()
        }
        Some(Pool::First) | None => n,
    };
    if let Output::Classes(classes) = &model.output
        && let Some(hidden) = &classes.hidden
    {
        pooled = linear(&pooled, weights.linear("pool"));
        probe.see(layers, Tensor::Pool, flat(&pooled));
        pooled.mapv_inplace(|x| hidden.activation.at(x));
    }
    if !matches!(model.output, Output::Embedding { .. }) {
        pooled = linear(&pooled, weights.linear("head"));
    }
    probe.see(layers, Tensor::Logits, flat(&pooled));
    let mut out: Vec<f32> = pooled.into_iter().collect();
    if matches!(model.output, Output::Embedding { normalise: true, .. }) {
        let length = out.iter().map(|x| x * x).sum::<f32>().sqrt();
        out.iter_mut().for_each(|x| *x /= length);
    }
    out
}

/// Folds the matrices.
pub fn fold(model: &Model, weights: &Weights, format: &HeadFormat, out: &mut Named) {
    let norm = weights.norm(&last_norm(model).path(model));
    if let Output::Embedding { .. } = model.output {
        out.insert("head".into(), Folded::diagonal(&norm).fixed());
        return;
    }
    let head = weights.linear("head");
    if let Some((activation, _)) = &format.hidden {
        let mut pool = Folded::new(&weights.linear("pool")).after(&norm);
        pool.scale(0, pool.outputs, activation.stretch());
        out.insert("pool".into(), pool.fixed());
        out.insert("head".into(), Folded::new(&head).fixed());
        return;
    }
    match model.output.pool() {
        Some(Pool::FirstTwo) => {
            let twice = |x: &[f32]| Cow::<[f32]>::Owned([x, x].concat());
            let (weight, bias) = (twice(norm.weight), twice(norm.bias));
            let both = Norm { weight: &weight, bias: &bias };
            out.insert("head".into(), Folded::new(&head).after(&both).fixed());
        }
        Some(Pool::FirstAndMean) => {
            let [first, rest] = halves(&head);
            let d = model.stack.width;
            let of = |w: &[f32], bias| {
                Folded::new(&Linear { outputs: head.outputs, inputs: d, w, bias }).after(&norm)
            };
            let mut mean = of(&rest, None);
            let rows = read(model, model.tokens()).len() - 1;
            mean.scale(0, head.outputs, 1.0 / rows as f64);
            out.insert("head".into(), of(&first, head.bias).fixed());
            out.insert("head.mean".into(), mean.fixed());
        }
        _ => {
            out.insert("head".into(), Folded::new(&head).after(&norm).fixed());
        }
    }
}

/// The columns that read the first row, and those that read the mean.
fn halves(head: &Linear<'_>) -> [Vec<f32>; 2] {
    let half = head.inputs / 2;
    let rows = || head.w.chunks_exact(head.inputs);
    let columns = |from: usize| rows().flat_map(|row| &row[from..from + half]).copied().collect();
    [columns(0), columns(half)]
}

/// The head's result, revealed.
pub fn trace(
    t: &mut Trace,
    model: &Model,
    format: &HeadFormat,
    layout: &Layout,
    options: Options,
    (x, hidden): (Wire, Option<Hidden>),
) -> Wire {
    t.section(&last_norm(model).section().to_string());
    let (d, classes) = (model.stack.width, model.output.classes());
    let (mut x, layout) = layout.keep(t, x, |rows| read(model, rows));
    if layout.length() == Some(1) {
        x = t.reshape(x, &[layout.lengths().len(), d]);
    }
    let reader = format.hidden.map_or(format.width, |(_, width)| width);
    let n = norm::trace(t, model, &format.norm, x, reader);
    t.section(&Section::Head.to_string());
    let product = |t: &mut Trace, name: &str, x: Wire, outputs: usize, width: u32| {
        let inputs = *t.spec(x).shape.last().expect("rows");
        let (name, scale) = (name.to_owned(), WEIGHT);
        let w = t.weight(WeightSpec { name, outputs, inputs, width, scale });
        t.linear(x, w, 1)
    };
    let outputs = if classes > 0 { classes } else { d };
    let logits = match model.output.pool() {
        Some(Pool::First) | None => {
            let p = match &format.hidden {
                Some((activation, width)) => {
                    let hidden = hidden_width(model);
                    let h = product(t, "pool", n, hidden, *width);
                    activation::trace(t, activation, options.tables, h, format.width)
                }
                None => n,
            };
            product(t, "head", p, outputs, format.width)
        }
        Some(Pool::FirstTwo) => {
            let two = t.reshape(n, &[layout.lengths().len(), 2 * d]);
            product(t, "head", two, outputs, format.width)
        }
        Some(Pool::Mean) => {
            let y = product(t, "head", n, outputs, format.width);
            match (hidden, options.reveal) {
                (Some(Hidden(rows)), Reveal::Rounded) => {
                    let shape = t.spec(rows).shape.clone();
                    let raised = t.input(&shape, 64, 0);
                    own_sums(t, y, raised)
                }
                (Some(Hidden(rows)), _) => {
                    let own = t.add_constant(rows, 1);
                    own_sums(t, y, own)
                }
                (None, Reveal::Rounded) => sums(t, &layout, y, |rows| format.raised(rows)),
                (None, _) => sums(t, &layout, y, |_| 0),
            }
        }
        Some(Pool::FirstAndMean) => {
            let first = t.pick(n, 1, &[0]);
            let first = t.reshape(first, &[layout.lengths().len(), d]);
            let rest: Vec<usize> = (1..t.spec(n).shape[1]).collect();
            let rest = t.pick(n, 1, &rest);
            let y = product(t, "head", first, outputs, format.width);
            let z = product(t, "head.mean", rest, outputs, format.width);
            let z = t.sum_axis(z, 1);
            t.sum(y, z)
        }
    };
    match options.reveal {
        Reveal::Rounded => {
            let (width, scale) = format.rounded();
            let logits = format.mean(t, logits);
            let logits = t.truncate_to(logits, scale);
            t.reveal(logits, width)
        }
        Reveal::Logits => {
            let logits = t.truncate_to(logits, ACTIVATION);
            t.reveal(logits, format.logit_width)
        }
        Reveal::Class => {
            let rows = t.spec(logits).count() / classes;
            let logits = match t.spec(logits).shape.len() {
                2 => logits,
                _ => t.reshape(logits, &[rows, classes]),
            };
            let logits = t.truncate_to(logits, ACTIVATION);
            t.argmax(logits, format.logit_width)
        }
    }
}

fn hidden_width(model: &Model) -> usize {
    match &model.output {
        Output::Classes(classes) => classes.hidden.as_ref().map_or(0, |hidden| hidden.width),
        _ => 0,
    }
}

/// The client's input that its own rows are raised by (`HeadFormat::raised`) where a hidden length's mean is rounded, which is
/// one flight for the sum, too; none in other plans.
pub fn raised(
    model: &Model,
    format: &HeadFormat,
    layout: &Layout,
    reveal: Reveal,
    own: &[usize],
) -> Option<Vec<i64>> {
    let rounded = reveal == Reveal::Rounded && layout.is_hidden();
    (rounded && model.output.pool() == Some(Pool::Mean)).then(|| {
        let row = |own: usize, i: usize| i64::from(i < own) << format.raised(own);
        let of = |(&rows, &own): (&usize, &usize)| (0..rows).map(move |i| row(own, i));
        layout.lengths().iter().zip(own).flat_map(of).collect()
    })
}

/// The sum over each input's rows, each times its number in `own`, which are (texts, rows).
fn own_sums(t: &mut Trace, y: Wire, own: Wire) -> Wire {
    let [texts, n] = t.spec(own).shape[..] else {
        panic!("own rows of {:?}: (texts, rows) are needed", t.spec(own).shape)
    };
    let y = t.truncate_to(y, ACTIVATION);
    let width = t.spec(y).share_width();
    let outputs = t.spec(y).count() / (texts * n);
    let y = t.reshape(y, &[texts, n, outputs]);
    let own = t.reshape(own, &[texts, 1, n]);
    let [own, y] = [own, y].map(|x| t.open(x, width, 0));
    let sum = t.matmul(own, y, false);
    t.reshape(sum, &[texts, outputs])
}

/// The sum over each input's rows, raised by as many powers of two as `raised` says of their number.
fn sums(t: &mut Trace, layout: &Layout, y: Wire, raised: impl Fn(usize) -> u32) -> Wire {
    let width = t.spec(y).share_width();
    let raise = |t: &mut Trace, sum: Wire, rows: usize| {
        let sum = t.shift_left(sum, raised(rows));
        if t.spec(sum).share_width() > width { t.reduce(sum, width) } else { sum }
    };
    if let Some(rows) = layout.length() {
        let sum = if rows == 1 { y } else { t.sum_axis(y, 1) };
        return raise(t, sum, rows);
    }
    let outputs = t.spec(y).shape[1];
    let each = layout.rows().into_iter().map(|rows| {
        let own: Vec<usize> = rows.collect();
        let count = own.len();
        let own = t.pick(y, 0, &own);
        let sum = t.sum_axis(own, 0);
        let sum = t.reshape(sum, &[1, outputs]);
        raise(t, sum, count)
    });
    let each: Vec<Wire> = each.collect();
    t.concat(0, &each)
}

/// Each input's result from what was revealed, of which it has so many rows of its own; one-hots where the class alone is.
pub fn decode(
    model: &Model,
    format: &HeadFormat,
    (layout, own): (&Layout, &[usize]),
    reveal: Reveal,
    output: &[i64],
) -> Vec<Vec<f64>> {
    let divisor = |rows: usize| match reveal {
        Reveal::Logits => f64::from(ACTIVATION).exp2() * meant(model, rows) as f64,
        // The mean, times its number of rows in parts of the power of two that they fill.
        Reveal::Rounded => {
            let rows = meant(model, rows);
            f64::from(format.rounded().1).exp2() * rows as f64 / rows.next_power_of_two() as f64
        }
        Reveal::Class => 1.0,
    };
    let mut rest = output;
    let one = |(&rows, &own): (&usize, &usize)| {
        let (all, others) = rest.split_at(numbers(model, rows));
        rest = others;
        let divisor = divisor(own);
        let all = &all[..numbers(model, own)];
        let mut out: Vec<f64> = all.iter().map(|&x| x as f64 / divisor).collect();
        if matches!(model.output, Output::Embedding { normalise: true, .. }) {
            let length = out.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            out.iter_mut().for_each(|x| *x /= length);
        }
        out
    };
    layout.lengths().iter().zip(own).map(one).collect()
}
