//! The number format: ring widths and scales of every tensor, from the calibrated ranges.
//!
//! Activations have [`ACTIVATION`] fractional bits and weights [`WEIGHT`], 12 and 16: more for the weights,
//! whose rounding dominates at 14, costs bits on the linear inputs alone. Every width leaves
//! [`MARGIN`] bits above the calibrated range. Widths follow backwards from where a value is opened: a linear layer's
//! ring is its result's opened width plus the bits that truncation drops on the way.

mod attention;

pub use attention::linear_scale;

use serde::{Deserialize, Serialize};
use sotto_protocols::{
    compose::{
        attention::{DivideFormat, LinearFormat, ScoreFormat, Shift},
        norm::NormFormat,
    },
    functions::{Function, Window},
    gates::lookup::Precision,
};

use crate::{Arch, Calibration, Error, arch::Activation, calibration::Range};

/// Fractional bits of activations.
pub const ACTIVATION: u32 = 12;
/// Fractional bits of weights.
pub const WEIGHT: u32 = 16;
/// Bits above the calibrated range.
pub const MARGIN: u32 = 2;

/// How the softmax's shift is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaxKind {
    /// By counting thresholds: for every input in range.
    #[default]
    Coarse,
    /// A calibrated public maximum where the calibrated row maxima lie within 10 nats, else counted.
    Public,
}

/// Formats of one layer.
#[derive(Clone, Debug)]
pub struct LayerFormat {
    /// First layer norm.
    pub norm1: NormFormat,
    /// Ring of the query, key and value projection.
    pub qkv_width: u32,
    /// Fractional bits of its matrix: [`WEIGHT`], or fewer where the norm before it needs the room.
    pub qkv_scale: u32,
    /// Softmax heads.
    pub softmax: Option<(ScoreFormat, Shift, DivideFormat)>,
    /// ReLU heads.
    pub relu: Option<(ScoreFormat, DivideFormat)>,
    /// Linear heads.
    pub linear: Option<LinearFormat>,
    /// Ring of the output projection, and of the residual that it is added to.
    pub proj_width: u32,
    /// Second layer norm.
    pub norm2: NormFormat,
    /// Ring of the first MLP matrix with the residual's copy, or of an MLP's only matrix.
    pub fc1_width: u32,
    /// The activation.
    pub activation: ActivationFormat,
    /// Ring of the second MLP matrix.
    pub fc2_width: u32,
}

/// Format of an MLP's activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActivationFormat {
    /// A lookup.
    Lookup {
        /// The function.
        function: Function,
        /// Its window.
        window: Window,
        /// Its table.
        precision: Precision,
    },
    /// Exact ReLU at this opened width.
    Relu(u32),
    /// None: both products of the MLP and its residual are one product.
    None,
}

impl ActivationFormat {
    /// Factor by which the owner stretches the activation's argument.
    pub fn stretch(&self) -> f64 {
        match self {
            ActivationFormat::Lookup { function: Function::Gelu { stretch }, .. } => *stretch,
            _ => 1.0,
        }
    }
}

/// Formats of the whole model.
#[derive(Clone, Debug)]
pub struct Format {
    /// Ring of the patch embedding.
    pub embed_width: u32,
    /// Layers.
    pub layers: Vec<LayerFormat>,
    /// The final norm.
    pub norm: NormFormat,
    /// Ring of the head.
    pub head_width: u32,
    /// Width at which logits are revealed, scale [`ACTIVATION`].
    pub logit_width: u32,
}

/// Bits that hold sizes up to `size`: `size <= 2^bits`; at most 40, which no ring holds.
fn bits(size: f64) -> u32 {
    size.clamp(1.0, 1e12).log2().ceil() as u32
}

/// Width of an opening that can be lifted, with the margin.
fn liftable(range: Range, scale: u32) -> u32 {
    scale + bits(range.size()) + MARGIN + 2
}

impl Format {
    /// The format that the calibration asks for.
    ///
    /// # Errors
    /// [`Error::Calibration`] when ranges are missing or need rings of more than 64 bits.
    pub fn new(arch: &Arch, cal: &Calibration, max: MaxKind) -> Result<Self, Error> {
        if cal.layers.len() != arch.layers + 1 {
            return Err(Error::Calibration(format!(
                "it has {} layers, the architecture {}",
                cal.layers.len().saturating_sub(1),
                arch.layers
            )));
        }
        // The residual stream entering layer i is opened by norm1 of i and, with the attention added, by norm2.
        let open1 = |i: usize| match i == arch.layers {
            true => cal.range(i, "norm.centred").map(|r| liftable(r, ACTIVATION)),
            false => cal.range(i, "ln1.centred").map(|r| liftable(r, ACTIVATION)),
        };
        let open2 = |i: usize| cal.range(i, "ln2.centred").map(|r| liftable(r, ACTIVATION));
        let stream = |i: usize| -> Result<u32, Error> {
            let second = if i < arch.layers { open2(i)? } else { 0 };
            Ok(open1(i)?.max(second) + WEIGHT)
        };
        let mut layers = Vec::new();
        for i in 0..arch.layers {
            let proj_width = open2(i)? + WEIGHT;
            let softmax = attention::softmax(arch, cal, i, max, proj_width)?;
            let relu = attention::relu(arch, cal, i, proj_width)?;
            let linear = attention::linear(arch, cal, i)?;
            let needs = (softmax.iter())
                .flat_map(|(s, _, d)| [s.product_width, d.product_width])
                .chain(relu.iter().flat_map(|(s, d)| [s.product_width, d.product_width]))
                .chain(linear.iter().flat_map(|l| [l.first_width, l.operand_width]));
            let product_width = needs.max().unwrap_or(0);
            let open = open1(i)?;
            // Weights that are rounded a little more beat a model that has no format.
            let (qkv_scale, norm1) = (LEAST_WEIGHT..=WEIGHT)
                .rev()
                .map(|scale| (scale, norm(arch, cal, i, "ln1", open, product_width + scale)))
                .find(|(scale, norm)| norm.is_ok() || *scale == LEAST_WEIGHT)
                .expect("the least is among them");
            let next = stream(i + 1)?;
            let activation = activation(arch, cal, i)?;
            let act_width = match activation {
                ActivationFormat::Lookup { window, .. } => window.bits,
                ActivationFormat::Relu(width) => width,
                ActivationFormat::None => 0,
            };
            let fc1_width = next.max(act_width + WEIGHT);
            layers.push(LayerFormat {
                norm1: norm1?,
                qkv_width: product_width + qkv_scale,
                qkv_scale,
                softmax,
                relu,
                linear,
                proj_width,
                norm2: norm(arch, cal, i, "ln2", open2(i)?, fc1_width)?,
                fc1_width,
                activation,
                fc2_width: next,
            });
        }
        let last = arch.layers;
        let logit_width = liftable(cal.range(last, "logits")?, ACTIVATION) - 1;
        let head_width = logit_width + WEIGHT;
        let format = Self {
            embed_width: stream(0)?,
            layers,
            norm: norm(arch, cal, last, "norm", open1(last)?, head_width)?,
            head_width,
            logit_width,
        };
        format.check()?;
        Ok(format)
    }

    /// Every ring that the trace will use exists.
    fn check(&self) -> Result<(), Error> {
        at_most("the patch embedding's ring", self.embed_width, 64)?;
        at_most("the head's ring", self.head_width, 64)?;
        self.layers.iter().enumerate().try_for_each(|(i, l)| {
            let name = |what: &str| format!("layer {i}: {what}");
            at_most(&name("the projection's ring"), l.proj_width, 64)?;
            at_most(&name("the MLP's ring"), l.fc1_width.max(l.fc2_width), 64)?;
            at_most(&name("the query's ring"), l.qkv_width, 64)?;
            let divides = (l.softmax.iter().map(|s| (s.2, attention::EXP_SCALE)))
                .chain(l.relu.iter().map(|r| (r.1, r.0.score.1)));
            for (d, lifted) in divides {
                let factor = d.slope_scale + d.sum.bits - d.k;
                at_most(&name("the quotient's ring"), l.proj_width + factor, 64)?;
                let room = d.product_width + lifted - d.weight_scale;
                at_most(&name("the attention weights' ring"), room, 64)?;
            }
            if let Some((s, _)) = &l.relu {
                at_most(&name("the compared scores' width"), s.score.0, 25)?;
            }
            match l.activation {
                ActivationFormat::Lookup { window, precision, .. } => {
                    // The table holds the value, shifted by the low bits, in 32 bits with sign.
                    let lo = window.bits - precision.k;
                    at_most(&name("the activation's table"), window.bits + lo, 31)?;
                    let drop = precision.slope_scale + lo - ACTIVATION;
                    at_most(&name("the activation's ring"), l.fc2_width + drop, 64)
                }
                ActivationFormat::Relu(width) => {
                    at_most(&name("the compared activation's width"), width, 25)
                }
                ActivationFormat::None => Ok(()),
            }
        })
    }
}

/// Fewest fractional bits of a matrix.
const LEAST_WEIGHT: u32 = 12;

pub(crate) fn at_most(what: &str, width: u32, limit: u32) -> Result<(), Error> {
    if width <= limit {
        return Ok(());
    }
    Err(Error::Calibration(format!(
        "{what} would need {width} bits, {limit} exist: the calibrated ranges are too wide"
    )))
}

fn norm(
    arch: &Arch,
    cal: &Calibration,
    layer: usize,
    name: &str,
    width: u32,
    result_width: u32,
) -> Result<NormFormat, Error> {
    let var = cal.range(layer, &format!("{name}.var"))?;
    let d = arch.dim as f64;
    let top = bits(d * f64::from(var.max)) + MARGIN;
    at_most(&format!("layer {layer}: {name}'s sum of squares"), top, 24)?;
    // The sum is read to 2^-11 of its smallest value where a window of 24 bits reaches so far and the ring has room for
    // the factor; to 2^-7 otherwise.
    let least = (d * f64::from(var.min.max(1e-6))).log2().floor() as i32;
    let room = 64u32.saturating_sub(result_width);
    let format = |precision: i32| {
        let scale = ((precision - least).clamp(0, 2 * ACTIVATION as i32) as u32).min(24 - top);
        let window = Window::positive((top + scale).max(14), scale);
        // Elements are few, so pieces are cheap; few low bits leave the slope its precision.
        let k = 14.min(window.bits - 2);
        let lo = window.bits - k;
        (room >= lo + 8).then(|| NormFormat {
            width,
            squares: window,
            k,
            slope_scale: room.min(18) - lo,
        })
    };
    (7..=11).rev().find_map(format).ok_or_else(|| {
        Error::Calibration(format!(
            "layer {layer}: {name} feeds a ring of {result_width} bits, which leaves too few for \
             its factor; a smaller range of the attention's values is needed"
        ))
    })
}

fn activation(arch: &Arch, cal: &Calibration, layer: usize) -> Result<ActivationFormat, Error> {
    if arch.activation[layer] == Activation::None {
        return Ok(ActivationFormat::None);
    }
    let range = cal.range(layer, "fc1.out")?;
    Ok(match arch.activation[layer] {
        Activation::Gelu => {
            // The window is +-2^top; the stretch makes it exactly MARGIN bits wider than the range.
            let wide = range.size().max(0.5) * f64::from(1u32 << MARGIN);
            let top = bits(wide);
            // Not less than that, or the widest window's values and slopes would not fit its table: where the range is a
            // power of two, the margin is 1 % less for it.
            let stretch = (f64::from(1u32 << top) * 0.999 / wide).max(1.006);
            // Pieces of at most 1/13 of the activation's argument: an error of 1.4e-3. More than 2^11 of them
            // would dominate the offline bytes.
            let k = bits(2.0 * wide * 13.0).clamp(7, 11);
            ActivationFormat::Lookup {
                function: Function::Gelu { stretch },
                window: Window::signed(ACTIVATION + top + 1, ACTIVATION),
                precision: Precision { k, value_scale: ACTIVATION, slope_scale: ACTIVATION },
            }
        }
        Activation::Relu => ActivationFormat::Relu(liftable(range, ACTIVATION)),
        Activation::None => ActivationFormat::None,
        other => {
            let why = format!("layer {layer}: {} has no format yet", other.name());
            return Err(Error::Calibration(why));
        }
    })
}
