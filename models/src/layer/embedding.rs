//! The embedding: from what the client gives to the rows of the first layer.
//!
//! A picture's patches go through a private matrix; the leading rows' input is zero, their bias is their token, and
//! positions are added to every row. A text's words are looked up in tables that the client has, so that its rows are its
//! input ([`text::rows`](crate::text::rows)).

use ndarray::{Array2, s};
use sotto_protocols::{
    Wire,
    compose::attention::Hidden,
    plan::{Trace, WeightSpec},
};

use crate::{
    Model, Weights,
    fixed::{ACTIVATION, WEIGHT},
    images::patches,
    layer::{Section, sublayers},
    layout::Layout,
    matrix::{Folded, Named},
    model::{Input, Pixels},
    probe::{Probe, Tensor},
    rows::{affine, flat, view},
};

const PATH: &str = "patch_embed";

/// The rows of the first layer; `input` is a normalised picture, or a text's rows.
///
/// # Panics
/// Where `input` does not have the model's size.
pub fn float(
    model: &Model,
    weights: &Weights,
    input: &[f32],
    probe: &mut dyn Probe,
) -> Array2<f32> {
    let d = model.stack.width;
    let x = match &model.input {
        Input::Pixels(pixels) => picture(pixels, d, weights, input, probe),
        Input::Words(_) => view(input, input.len() / d, d).to_owned(),
    };
    probe.see(0, Tensor::Embed, flat(&x));
    x
}

fn picture(
    pixels: &Pixels,
    d: usize,
    weights: &Weights,
    input: &[f32],
    probe: &mut dyn Probe,
) -> Array2<f32> {
    let (tokens, lead) = (pixels.tokens(), pixels.lead);
    let cut = patches(pixels, input);
    probe.see(0, Tensor::Patches, &cut);
    let cut = view(&cut, tokens - lead, pixels.patch_dim());
    let mut x = view(weights.values("pos_embed"), tokens, d).to_owned();
    if lead > 0 {
        let mut leading = x.slice_mut(s![..lead, ..]);
        leading += &view(weights.values("cls_token"), lead, d);
    }
    let mut rest = x.slice_mut(s![lead.., ..]);
    rest += &affine(cut, weights.linear(PATH));
    x
}

/// Folds the patches' matrix, with one bias row for each row of the picture.
pub fn fold(model: &Model, weights: &Weights, out: &mut Named) {
    let Input::Pixels(pixels) = &model.input else { return };
    let d = model.stack.width;
    let mut embed = Folded::new(&weights.linear(PATH));
    let position = weights.values("pos_embed").chunks_exact(d);
    let patch = std::mem::take(&mut embed.bias);
    let tokens = if pixels.lead > 0 { weights.values("cls_token") } else { &[] };
    for (row, position) in position.enumerate() {
        for (i, &p) in position.iter().enumerate() {
            let token = tokens.get(row * d + i).map(|&token| f64::from(token));
            embed.bias.push(token.unwrap_or(patch[i]) + f64::from(p));
        }
    }
    out.insert(PATH.into(), embed.centred().fixed());
}

/// The client's inputs, and what enters the first layer: the rows that its first matrix reads where no norm comes first,
/// and the stream, in a ring of `width` bits at the scale of a product. A text's `[rows, stream]` are two inputs: as they
/// are, and centred; the latter alone where a norm comes first. Of texts of hidden lengths the rows that are not theirs are a
/// further input.
pub fn trace(
    t: &mut Trace,
    model: &Model,
    layout: &Layout,
    width: u32,
    reader: u32,
) -> ([Wire; 2], Option<Hidden>) {
    let d = model.stack.width;
    match &model.input {
        Input::Pixels(pixels) => {
            let x = t.input(&layout.shape(pixels.patch_dim()), width, ACTIVATION);
            t.section(&Section::Embedding.to_string());
            let inputs = pixels.patch_dim();
            let spec = WeightSpec { name: PATH.into(), outputs: d, inputs, width, scale: WEIGHT };
            let w = t.weight(spec);
            let x = t.linear(x, w, pixels.tokens());
            ([x, x], None)
        }
        Input::Words(_) => {
            let stream = t.input(&layout.shape(d), width, ACTIVATION + WEIGHT);
            let rows = match rows_are_read(model) {
                true => t.input(&layout.shape(d), reader, ACTIVATION),
                false => stream,
            };
            let hidden = layout.is_hidden().then(|| Hidden(t.input(&layout.shape(1)[..2], 64, 0)));
            ([rows, stream], hidden)
        }
    }
}

/// Texts' rows padded to `bucket` rows of `width` numbers with copies of their first ([`crate::length`]), and the input that says which are not
/// theirs.
///
/// # Panics
/// Where a text has no row, or more than the bucket.
pub fn pad(inputs: &[Vec<f32>], bucket: usize, width: usize) -> (Vec<Vec<f32>>, Vec<i64>) {
    let (mut all, mut hidden) = (Vec::with_capacity(inputs.len()), Vec::new());
    for input in inputs {
        let own = input.len() / width;
        assert!((1..=bucket).contains(&own), "{own} rows in a bucket of {bucket}");
        let copies = std::iter::repeat_n(&input[..width], bucket - own).flatten();
        all.push(input.iter().chain(copies).copied().collect());
        hidden.extend((0..bucket).map(|row| if row < own { 0 } else { -1 }));
    }
    (all, hidden)
}

/// Whether the first layer reads a text's rows as they are.
fn rows_are_read(model: &Model) -> bool {
    sublayers(model).first().is_some_and(|first| first.norm.is_none())
}

/// The client's input of a picture or of a text's rows, in fixed point: for each of the plan's inputs its numbers.
pub fn encode(model: &Model, inputs: &[Vec<f32>]) -> Vec<Vec<i64>> {
    let fix = |x: f64, scale: u32| (x * f64::from(scale).exp2()).round() as i64;
    match &model.input {
        Input::Pixels(pixels) => {
            let mut out = Vec::new();
            for image in inputs {
                out.extend(std::iter::repeat_n(0, pixels.lead * pixels.patch_dim()));
                let cut = patches(pixels, image);
                out.extend(cut.iter().map(|&x| fix(f64::from(x), ACTIVATION)));
            }
            vec![out]
        }
        Input::Words(_) => {
            let (mut rows, mut stream) = (Vec::new(), Vec::new());
            for row in inputs.iter().flat_map(|text| text.chunks_exact(model.stack.width)) {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / row.len() as f64;
                rows.extend(row.iter().map(|&x| fix(f64::from(x), ACTIVATION)));
                stream.extend(row.iter().map(|&x| fix(f64::from(x) - mean, ACTIVATION + WEIGHT)));
            }
            if rows_are_read(model) { vec![stream, rows] } else { vec![stream] }
        }
    }
}
