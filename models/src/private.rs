//! The private form of a model: architecture and calibration traced into a plan.
//!
//! Everything here follows from public data (architecture, calibration, batch), so that server, client and
//! dealer each trace the same plan and compare its hash.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sotto_protocols::{
    Wire,
    gates::row_table::Rows,
    plan::{Plan, Trace, WeightSpec},
    weights::Matrix,
};

use crate::{
    Arch, Calibration, Error, Weights,
    arch::Attention,
    float::NORM_EPS,
    fold::fold,
    format::{ACTIVATION, ActivationFormat, Format, LayerFormat, MARGIN, MaxKind, WEIGHT, at_most},
    images::patches,
};

/// What the client learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reveal {
    /// All logits.
    #[default]
    Logits,
    /// All logits, rounded to [`ROUNDED`] bits each.
    Rounded,
    /// The class alone, a bit for each.
    Class,
}

/// Bits of a rounded logit.
pub const ROUNDED: u32 = 8;

/// How smooth activations are looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tables {
    /// Piecewise linear, two flights an activation.
    #[default]
    Pieces,
    /// Polynomials by row, one flight and many more offline bytes: for long delays.
    Rows,
}

/// Choices that are not the model's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How softmax finds its shift.
    pub max: MaxKind,
    /// What the client learns.
    pub reveal: Reveal,
    /// How activations are looked up.
    pub tables: Tables,
}

/// Most images in one evaluation.
pub const MAX_BATCH: usize = 64;

/// Logarithm of the most rows of an activation's row table: 2^10 are 160 kB for each element.
const MAX_ROWS: u32 = 10;

/// A model ready to be evaluated privately.
pub struct Private {
    /// Its public description.
    pub arch: Arch,
    /// Widths and scales.
    pub format: Format,
    /// The traced plan for `batch` images.
    pub plan: Arc<Plan>,
    /// Images in one evaluation.
    pub batch: usize,
    /// What the client learns.
    pub reveal: Reveal,
    /// Largest size of an input that the widths leave room for.
    limit: f64,
}

impl Private {
    /// Traces the model for `batch` images at once.
    ///
    /// # Errors
    /// [`Error::Arch`] when the architecture is not valid, [`Error::Calibration`] when the calibration does not fit it
    /// or the options, [`Error::Options`] when the batch is not in 1 to [`MAX_BATCH`]. Whatever a peer says in these,
    /// there is no other way to fail.
    pub fn new(
        arch: &Arch,
        calibration: &Calibration,
        batch: usize,
        options: Options,
    ) -> Result<Self, Error> {
        arch.validate()?;
        if !(1..=MAX_BATCH).contains(&batch) {
            let why = format!("a batch of {batch} images; 1 to {MAX_BATCH} are possible");
            return Err(Error::Options(why));
        }
        let format = Format::new(arch, calibration, options.max)?;
        check(&format, options)?;
        let plan = Arc::new(trace(arch, &format, batch, options));
        let limit = calibration.range(0, "patches")?.size() * f64::from(1u32 << MARGIN);
        Ok(Self { arch: arch.clone(), format, plan, batch, reveal: options.reveal, limit })
    }

    /// The server's matrices for this plan.
    pub fn matrices(&self, weights: &Weights) -> Vec<Matrix> {
        fold(&self.arch, weights, &self.format)
    }

    /// Refuses an input that is further outside of the calibrated range than the widths' margin: its result
    /// would be garbage.
    ///
    /// # Errors
    /// [`Error::Calibration`]; it names no pixel.
    pub fn check_input(&self, image: &[f32]) -> Result<(), Error> {
        if image.iter().all(|x| f64::from(x.abs()) <= self.limit) {
            return Ok(());
        }
        Err(Error::Calibration(format!(
            "a normalised input exceeds {:.2}, the calibrated range and its margin; calibrate the model on images \
             like this one",
            self.limit
        )))
    }

    /// The client's input: normalised images in fixed point, one row a patch, the class token's row zero.
    pub fn encode(&self, images: &[Vec<f32>]) -> Vec<i64> {
        assert_eq!(images.len(), self.batch, "images of a batch");
        let unit = f64::from(ACTIVATION).exp2();
        let mut out = Vec::new();
        for image in images {
            out.extend(std::iter::repeat_n(0, self.arch.patch_dim()));
            let cut = patches(&self.arch, image);
            out.extend(cut.iter().map(|&x| (f64::from(x) * unit).round() as i64));
        }
        out
    }

    /// Logits of each image from the plan's output; a one-hot where the class alone is revealed.
    pub fn decode(&self, output: &[i64]) -> Vec<Vec<f64>> {
        let unit = match self.reveal {
            Reveal::Logits => f64::from(ACTIVATION).exp2(),
            Reveal::Rounded => f64::from(rounded(&self.format).1).exp2(),
            Reveal::Class => 1.0,
        };
        let rows = output.chunks_exact(self.arch.classes);
        rows.map(|r| r.iter().map(|&x| x as f64 / unit).collect()).collect()
    }
}

/// Every ring and table exists that these options need beyond the format's own.
fn check(format: &Format, options: Options) -> Result<(), Error> {
    if options.reveal == Reveal::Class {
        at_most("the compared logits' width", format.logit_width, 25)?;
    }
    if options.tables == Tables::Rows {
        for layer in &format.layers {
            if let ActivationFormat::Lookup { window, .. } = layer.activation {
                at_most("an activation's rows", window.bits - window.scale, MAX_ROWS)?;
                at_most("an activation's row table", layer.fc2_width + 16, 64)?;
            }
        }
    }
    Ok(())
}

/// Width and scale of rounded logits: fractional bits go, whole ones stay.
fn rounded(format: &Format) -> (u32, u32) {
    let less = format.logit_width.saturating_sub(ROUNDED).min(ACTIVATION);
    (format.logit_width - less, ACTIVATION - less)
}

fn weight(t: &mut Trace, name: String, outputs: usize, inputs: usize, width: u32) -> usize {
    t.weight(WeightSpec { name, outputs, inputs, width, scale: WEIGHT })
}

fn trace(arch: &Arch, format: &Format, batch: usize, options: Options) -> Plan {
    let (tokens, d) = (arch.tokens(), arch.dim);
    let mut t = Trace::new();
    let x = t.input(&[batch, tokens, arch.patch_dim()], format.embed_width, ACTIVATION);
    t.section("patch embedding");
    let w = weight(&mut t, "patch_embed".into(), d, arch.patch_dim(), format.embed_width);
    let mut x = t.linear(x, w, tokens);
    for (i, layer) in format.layers.iter().enumerate() {
        x = block(&mut t, arch, i, layer, options.tables, x);
    }
    t.section("head");
    let class = t.pick(x, 1, &[0]);
    let class = t.reshape(class, &[batch, d]);
    let class = t.truncate_to(class, ACTIVATION);
    let class = t.layer_norm(class, &format.norm, f64::from(NORM_EPS), format.head_width);
    let w = weight(&mut t, "head".into(), arch.classes, d, format.head_width);
    let logits = t.linear(class, w, 1);
    let output = match options.reveal {
        Reveal::Rounded => {
            let (width, scale) = rounded(format);
            let logits = t.truncate_to(logits, scale);
            t.reveal(logits, width)
        }
        Reveal::Logits => {
            let logits = t.truncate_to(logits, ACTIVATION);
            t.reveal(logits, format.logit_width)
        }
        Reveal::Class => {
            let logits = t.truncate_to(logits, ACTIVATION);
            t.argmax(logits, format.logit_width)
        }
    };
    t.finish(&[output])
}

/// `x += attention(norm1 x); x = norm2 x; x += mlp(x)`. `x` stays at the product's scale between layers; only what is
/// opened is truncated.
fn block(
    t: &mut Trace,
    arch: &Arch,
    i: usize,
    layer: &LayerFormat,
    tables: Tables,
    x: Wire,
) -> Wire {
    let (d, mlp) = (arch.dim, arch.mlp);
    let name = |part: &str| format!("blocks.{i}.{part}");
    let eps = f64::from(NORM_EPS);

    t.section(&name("norm1"));
    let n = t.truncate_to(x, ACTIVATION);
    let n = t.layer_norm(n, &layer.norm1, eps, layer.qkv_width);
    t.section(&name("attention"));
    let (outputs, inputs, width, scale) = (3 * d, d, layer.qkv_width, layer.qkv_scale);
    let w = t.weight(WeightSpec { name: name("attn.qkv"), outputs, inputs, width, scale });
    let qkv = t.linear(n, w, 1);
    let heads = attention(t, arch, i, layer, qkv);
    let w = weight(t, name("attn.proj"), d, d, layer.proj_width);
    let y = t.linear(heads, w, 1);
    let x = t.sum(x, y);

    t.section(&name("norm2"));
    let n = t.truncate_to(x, ACTIVATION);
    let n = t.layer_norm(n, &layer.norm2, eps, layer.fc1_width);
    t.section(&name("mlp"));
    if layer.activation == ActivationFormat::None {
        let w = weight(t, name("mlp"), d, d, layer.fc1_width);
        return t.linear(n, w, 1);
    }
    let w = weight(t, name("mlp.fc1"), mlp + d, d, layer.fc1_width);
    let both = t.linear(n, w, 1);
    let hidden: Vec<usize> = (0..mlp).collect();
    let copy: Vec<usize> = (mlp..mlp + d).collect();
    let hidden = t.pick(both, 2, &hidden);
    let residual = t.pick(both, 2, &copy);
    let hidden = activation(t, layer, tables, hidden);
    let w = weight(t, name("mlp.fc2"), d, mlp, layer.fc2_width);
    let y = t.linear(hidden, w, 1);
    t.sum(residual, y)
}

fn activation(t: &mut Trace, layer: &LayerFormat, tables: Tables, x: Wire) -> Wire {
    let width = layer.fc2_width;
    let x = t.truncate_to(x, ACTIVATION);
    match layer.activation {
        ActivationFormat::Lookup { function, window, precision } => {
            let x = t.open_window(x, window);
            let y = match tables {
                Tables::Pieces => {
                    let y = t.lookup(x, function, precision);
                    let drop = t.spec(y).scale - ACTIVATION;
                    t.lift(y, width + drop)
                }
                Tables::Rows => {
                    // Cubics on rows of length one.
                    let m = window.bits - window.scale;
                    t.row_table(x, function, Rows { m, degree: 3, value_scale: 14 }, width + 16)
                }
            };
            t.truncate_to(y, ACTIVATION)
        }
        ActivationFormat::Relu(opened) => {
            let x = t.open_signed(x, opened);
            t.relu(x, width)
        }
        ActivationFormat::None => unreachable!("an MLP without an activation is one product"),
    }
}

/// All heads of all kinds: `(images, tokens, 3 d)` to `(images, tokens, d)` in the projection's ring.
fn attention(t: &mut Trace, arch: &Arch, i: usize, layer: &LayerFormat, qkv: Wire) -> Wire {
    let shape = t.spec(qkv).shape.clone();
    let (batch, tokens) = (shape[0], shape[1]);
    let (heads, dh) = (arch.heads, arch.head_dim());
    let qkv = t.truncate_to(qkv, ACTIVATION);
    let qkv = t.reshape(qkv, &[batch, tokens, 3, heads, dh]);
    // (3, images, heads, tokens, head dim)
    let qkv = t.permute(qkv, &[2, 0, 3, 1, 4]);
    let result = (layer.proj_width, ACTIVATION);
    let (mut parts, mut order) = (Vec::new(), Vec::new());
    for kind in Attention::ALL {
        let chosen: Vec<usize> = (0..heads).filter(|&h| arch.attention[i][h] == kind).collect();
        if chosen.is_empty() {
            continue;
        }
        let operands = [0, 1, 2].map(|which| {
            let one = t.pick(qkv, 0, &[which]);
            let one = t.reshape(one, &[batch, heads, tokens, dh]);
            t.pick(one, 1, &chosen)
        });
        let expected = "the format has what the architecture uses";
        parts.push(match kind {
            Attention::Softmax => {
                let (scores, shift, divide) = layer.softmax.as_ref().expect(expected);
                t.softmax_attention(operands, scores, shift, divide, result)
            }
            Attention::Relu => {
                let (scores, divide) = layer.relu.as_ref().expect(expected);
                t.relu_attention(operands, scores, divide, result)
            }
            Attention::Linear => {
                let format = layer.linear.as_ref().expect(expected);
                t.linear_attention(operands, format, result)
            }
        });
        order.extend(chosen);
    }
    let all = t.concat(1, &parts);
    let back: Vec<usize> = (0..heads)
        .map(|h| order.iter().position(|&o| o == h).expect("every head has a kind"))
        .collect();
    let all = t.pick(all, 1, &back);
    let all = t.permute(all, &[0, 2, 1, 3]);
    t.reshape(all, &[batch, tokens, heads * dh])
}
