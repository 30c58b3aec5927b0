//! Layer norm: `gain (x - mean) / sqrt(variance + epsilon) + offset`, over each row.
//!
//! Privately, rows come centred (their writers were), and gain and offset are folded into whatever reads the norm.

use ndarray::Array2;
use sotto_protocols::{Wire, compose::norm::NormFormat, functions::Window, plan::Trace};

use crate::{
    Calibration, Error, Model, Weights,
    fixed::{ACTIVATION, MARGIN, at_most, bits, liftable},
    layer::{Kind, Section},
    probe::{NormName, NormPart, Probe, Tensor},
    rows::flat,
};

/// Where a norm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The norm of a layer's attention.
    First(usize),
    /// The norm of a layer's MLP.
    Second(usize),
    /// The norm after so many layers.
    Last(usize),
}

impl Site {
    /// Where its weights are.
    pub fn path(self, model: &Model) -> String {
        match self {
            Site::First(layer) => format!("{}.norm1", model.block(layer)),
            Site::Second(layer) => format!("{}.norm2", model.block(layer)),
            Site::Last(_) => "norm".into(),
        }
    }

    /// Its part of a plan.
    pub fn section(self) -> Section {
        match self {
            Site::First(layer) => Section::Norm(layer, Kind::Attention),
            Site::Second(layer) => Section::Norm(layer, Kind::Mlp),
            Site::Last(_) => Section::Head,
        }
    }

    fn name(self) -> NormName {
        match self {
            Site::First(_) => NormName::First,
            Site::Second(_) => NormName::Second,
            Site::Last(_) => NormName::Last,
        }
    }

    fn layer(self) -> usize {
        let (Site::First(layer) | Site::Second(layer) | Site::Last(layer)) = self;
        layer
    }

    fn tensor(self, part: NormPart) -> Tensor {
        Tensor::Norm(self.name(), part)
    }
}

/// The norm of each row.
pub fn float(
    site: Site,
    model: &Model,
    weights: &Weights,
    x: &Array2<f32>,
    probe: &mut dyn Probe,
) -> Array2<f32> {
    let (d, layer) = (x.ncols() as f32, site.layer());
    let norm = weights.norm(&site.path(model));
    let mut h = x.clone();
    let mut vars = Vec::with_capacity(h.nrows());
    for mut row in h.rows_mut() {
        let mean = row.sum() / d;
        row -= mean;
        vars.push(row.dot(&row) / d);
    }
    probe.see(layer, site.tensor(NormPart::Centred), flat(&h));
    probe.see(layer, site.tensor(NormPart::Var), &vars);
    for (mut row, var) in h.rows_mut().into_iter().zip(&vars) {
        let inverse = 1.0 / (var + model.stack.eps).sqrt();
        for ((x, gain), offset) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
            *x = *x * inverse * gain + offset;
        }
    }
    probe.see(layer, site.tensor(NormPart::Out), flat(&h));
    h
}

/// Width at which the norm opens its input.
///
/// # Errors
/// [`Error::Calibration`] when the range is missing.
pub fn opened(site: Site, cal: &Calibration) -> Result<u32, Error> {
    let range = cal.range(site.layer(), site.tensor(NormPart::Centred))?;
    Ok(liftable(range, ACTIVATION))
}

/// The format of a norm whose result has `result_width` bits.
///
/// # Errors
/// [`Error::Calibration`] when its sum of squares or its factor have no window.
pub fn format(
    site: Site,
    model: &Model,
    cal: &Calibration,
    result_width: u32,
) -> Result<NormFormat, Error> {
    let (layer, name, width) = (site.layer(), site.name(), opened(site, cal)?);
    let var = cal.range(layer, site.tensor(NormPart::Var))?;
    let d = model.stack.width as f64;
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

/// The norm of each row of a stream, in a ring of `width` bits at the scale [`ACTIVATION`].
pub fn trace(t: &mut Trace, model: &Model, format: &NormFormat, x: Wire, width: u32) -> Wire {
    let n = t.truncate_to(x, ACTIVATION);
    t.layer_norm(n, format, f64::from(model.stack.eps), width)
}
