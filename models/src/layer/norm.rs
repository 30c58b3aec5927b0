//! Layer norm: `gain (x - mean) / sqrt(variance + epsilon) + offset`, over each row.
//!
//! Privately, rows come centred (their writers were), and gain and offset are folded into whatever reads the norm.

use ndarray::Array2;
use sotto_protocols::{
    Wire,
    compose::norm::{NormFormat, Rows},
    functions::Window,
    plan::Trace,
};

use crate::{
    Calibration, Error, Model, Weights,
    fixed::{ACTIVATION, MARGIN, bits, liftable},
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

/// Most by which a norm may scale a row of the calibration wrongly.
const NORM_ERROR: f64 = 1.0 / 128.0;

/// The format of a norm whose result has one of these rings, and that ring: the first one in which a table scales all
/// rows well, else the first one in which bands do.
///
/// # Errors
/// [`Error::Calibration`] when no format scales all rows of the calibration well; it names the norm.
pub fn format(
    site: Site,
    model: &Model,
    cal: &Calibration,
    rings: &[u32],
) -> Result<(NormFormat, u32), Error> {
    let (layer, name, width) = (site.layer(), site.name(), opened(site, cal)?);
    let var = cal.range(layer, site.tensor(NormPart::Var))?;
    let count = model.stack.width as f64;
    let sum = |var: f32| count * (f64::from(var) + f64::from(model.stack.eps));
    let (least, most) = (sum(var.min.max(0.0)), sum(var.max));
    let rows = Rows { count, scale: ACTIVATION, least, most };
    let first = |format: &dyn Fn(u32) -> Option<NormFormat>| {
        let formats = rings.iter().map(|&ring| Some((format(64u32.saturating_sub(ring))?, ring)));
        formats.flatten().find(|(format, _)| format.relative_error(&rows) <= NORM_ERROR)
    };
    let table = |room| (7..=11).rev().find_map(|bits| one_table(&rows, width, room, bits));
    let bands = |room| NormFormat::in_bands(width, &rows, MARGIN, room);
    first(&table).or_else(|| first(&bands)).ok_or_else(|| {
        Error::Calibration(format!(
            "layer {layer}: {name} has rows of variances from {:.1e} to {:.1e} and feeds a ring of {} bits: no \
             format scales all of them to one part in {:.0}; rows of less unlike size are needed, or a smaller \
             range of what the norm feeds",
            var.min,
            var.max,
            rings[rings.len() - 1],
            1.0 / NORM_ERROR
        ))
    })
}

/// A format with one table, which reads the sum to `2^-precision` of the least one where 24 bits reach so far.
fn one_table(rows: &Rows, width: u32, room: u32, precision: i32) -> Option<NormFormat> {
    let top = bits(rows.most) + MARGIN;
    let least = rows.least.log2().floor() as i32;
    let spare = 24u32.checked_sub(top)?;
    let scale = ((precision - least).clamp(0, 2 * ACTIVATION as i32) as u32).min(spare);
    let squares = Window::positive((top + scale).max(14), scale);
    // Elements are few, so pieces are cheap; few low bits leave the slope its precision.
    let k = 14.min(squares.bits - 2);
    let lo = squares.bits - k;
    let slope_scale = room.min(18).checked_sub(lo).filter(|&scale| scale >= 8)?;
    Some(NormFormat { width, squares, k, slope_scale, bands: None })
}

/// The norm of each row of a stream, in a ring of `width` bits at the scale [`ACTIVATION`].
pub fn trace(t: &mut Trace, model: &Model, format: &NormFormat, x: Wire, width: u32) -> Wire {
    let n = t.truncate_to(x, ACTIVATION);
    t.layer_norm(n, format, f64::from(model.stack.eps), width)
}
