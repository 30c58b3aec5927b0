//! Attention of all heads, with its projection.
//!
//! `q, k, v = W n + b`, a head's scores `S = q k^T / sqrt(head width)`, its output as its kind says
//! ([`crate::kind::Attention`]); all heads side by side go through the projection.
//!
//! Privately, `1 / sqrt(head width)`, `log2 e` and linear attention's `1 / N` are folded into the query's rows, head by head,
//! and the copy of `n` that a residual starts from comes out of the same product as queries, keys and values. Scores of softmax do not
//! see a factor that a head's queries are multiplied by and its keys divided by: it makes both as large, so that the rounding of one
//! weighs as much as that of the other, and each needs one or two bits less.

mod float;
mod format;

pub use float::float;
pub(crate) use format::bits_a_score;
use format::query_scale;
pub use format::{AttentionFormat, SoftmaxFormat, format};

use sotto_protocols::{
    Wire,
    compose::attention::Hidden,
    plan::{Trace, WeightSpec},
};

use crate::{
    Model, Weights,
    fixed::{ACTIVATION, WEIGHT, Widths},
    kind::Attention,
    layer::{Base, Sublayer, head},
    layout::Layout,
    matrix::{Folded, Named},
};
use format::linear_scale;

fn path(layer: usize, part: &str) -> String {
    format!("blocks.{layer}.attn.{part}")
}

/// Folds the matrices: queries, keys, values and the residual's copy as one, and the projection.
pub fn fold(
    model: &Model,
    weights: &Weights,
    sublayer: &Sublayer,
    format: &AttentionFormat,
    out: &mut Named,
) {
    let (layer, block) = (sublayer.layer, model.block(sublayer.layer));
    let mut qkv = Folded::new(&weights.linear(&format!("{block}.attn.qkv")));
    let norm = sublayer.norm.map(|site| weights.norm(&site.path(model)));
    if let Some(norm) = &norm {
        qkv = qkv.after(norm);
    }
    for (h, kind) in model.stack.attention[layer].iter().enumerate() {
        let d = model.stack.head_dim();
        let root = 1.0 / (d as f64).sqrt();
        let factor = match kind {
            Attention::Softmax => root * std::f64::consts::LOG2_E,
            Attention::Relu => root,
            Attention::Linear => linear_scale(model).1,
        };
        qkv.scale(h * d, (h + 1) * d, factor);
        if *kind == Attention::Softmax {
            let [q, k] = [0, 1].map(|which| (which * model.stack.heads + h) * d);
            let even = (qkv.size(k, k + d) / qkv.size(q, q + d)).sqrt();
            if even.is_normal() {
                qkv.scale(q, q + d, even);
                qkv.scale(k, k + d, 1.0 / even);
            }
        }
    }
    if let (Some(norm), Base::Norm) = (&norm, sublayer.base) {
        let mut copy = Folded::diagonal(norm).centred();
        // The copy's integers have the scale of what it is added to, whatever the others'.
        copy.scale(0, model.stack.width, f64::from(WEIGHT - format.scale).exp2());
        qkv = qkv.stack(copy);
    }
    out.insert(path(layer, "qkv"), qkv.fixed_at(format.scale));
    let proj = Folded::new(&weights.linear(&format!("{block}.attn.proj")));
    out.insert(path(layer, "proj"), proj.centred().fixed());
}

/// `base + attention(n)`, and how its rows lie; `x` is the base where it is not copied from `n`. Keys that are hidden
/// count for nothing. The last layer of a model
/// whose head reads few rows has queries, and so results, of these alone ([`head::prunes`]).
pub fn trace(
    t: &mut Trace,
    model: &Model,
    sublayer: &Sublayer,
    (attention, widths): (&AttentionFormat, Widths),
    layout: &Layout,
    [n, x]: [Wire; 2],
    hidden: Option<Hidden>,
) -> (Wire, Layout) {
    let (layer, d) = (sublayer.layer, model.stack.width);
    let copied = sublayer.base == Base::Norm && sublayer.norm.is_some();
    let outputs = if copied { 4 * d } else { 3 * d };
    let (width, scale) = (widths.reader, attention.scale);
    let spec = WeightSpec { name: path(layer, "qkv"), outputs, inputs: d, width, scale };
    let w = t.weight(spec);
    let all = t.linear(n, w, 1);
    let last = t.spec(all).shape.len() - 1;
    let own: Vec<usize> = (0..3 * d).collect();
    let qkv = t.pick(all, last, &own);
    let base = if copied {
        let copy: Vec<usize> = (3 * d..4 * d).collect();
        let copy = t.pick(all, last, &copy);
        t.rescale(copy, ACTIVATION + WEIGHT)
    } else {
        x
    };
    let result = (widths.writer, ACTIVATION);
    let pruned = layer + 1 == model.stack.layers && head::prunes(model);
    let read = |rows: usize| if pruned { head::read(model, rows) } else { (0..rows).collect() };
    let (base, kept) = layout.keep(t, base, read);
    let outputs = layout.by_length(t, qkv, &kept, |t, qkv| {
        let queries = read(t.spec(qkv).shape[1]);
        heads(t, model, layer, attention, (qkv, &queries, hidden), result)
    });
    let (name, scale) = (path(layer, "proj"), WEIGHT);
    let spec = WeightSpec { name, outputs: d, inputs: d, width: widths.writer, scale };
    let w = t.weight(spec);
    let y = t.linear(outputs, w, 1);
    (t.sum(base, y), kept)
}

/// All heads of all kinds: `(inputs, rows, 3 d)` to `(inputs, queries, d)` in the projection's ring.
fn heads(
    t: &mut Trace,
    model: &Model,
    layer: usize,
    format: &AttentionFormat,
    (qkv, queries, hidden): (Wire, &[usize], Option<Hidden>),
    result: (u32, u32),
) -> Wire {
    let shape = t.spec(qkv).shape.clone();
    let (batch, tokens) = (shape[0], shape[1]);
    let (heads, dh) = (model.stack.heads, model.stack.head_dim());
    let qkv = t.reshape(qkv, &[batch, tokens, 3, heads, dh]);
    // (3, inputs, heads, rows, head width)
    let qkv = t.permute(qkv, &[2, 0, 3, 1, 4]);
    let (mut parts, mut order) = (Vec::new(), Vec::new());
    for kind in Attention::ALL {
        let kinds = &model.stack.attention[layer];
        let chosen: Vec<usize> = (0..heads).filter(|&h| kinds[h] == kind).collect();
        if chosen.is_empty() {
            continue;
        }
        let operands = |t: &mut Trace, chosen: &[usize]| {
            [0, 1, 2].map(|which| {
                let one = t.pick(qkv, 0, &[which]);
                let one = t.reshape(one, &[batch, heads, tokens, dh]);
                let one = t.pick(one, 1, chosen);
                let one = if which == 0 { t.pick(one, 2, queries) } else { one };
                t.truncate_to(one, if which == 2 { ACTIVATION } else { query_scale(model, kind) })
            })
        };
        let expected = "the format has what the architecture uses";
        match kind {
            Attention::Softmax => {
                let mut rest = &chosen[..];
                for (count, softmax) in &format.softmax {
                    let (group, others) = rest.split_at(*count);
                    rest = others;
                    let operands = operands(t, group);
                    parts.push(t.softmax_attention(operands, softmax, hidden, result));
                }
            }
            Attention::Relu => {
                let (scores, divide) = format.relu.as_ref().expect(expected);
                let operands = operands(t, &chosen);
                parts.push(t.relu_attention(operands, (scores, divide), hidden, result));
            }
            Attention::Linear => {
                let linear = format.linear.as_ref().expect(expected);
                let operands = operands(t, &chosen);
                parts.push(t.linear_attention(operands, linear, result));
            }
        }
        order.extend(chosen);
    }
    let all = t.concat(1, &parts);
    let back: Vec<usize> = (0..heads)
        .map(|h| order.iter().position(|&o| o == h).expect("every head has a kind"))
        .collect();
    let all = t.pick(all, 1, &back);
    let all = t.permute(all, &[0, 2, 1, 3]);
    t.reshape(all, &[batch, queries.len(), heads * dh])
}
