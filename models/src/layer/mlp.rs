//! The MLP: `fc2(activation(fc1 n))`.
//!
//! Privately, the first matrix also copies `n` where the residual starts from it; an MLP without an activation is one
//! matrix, residual included: `W2 W1 + I`. The activation's stretch goes into the first matrix, group by group of hidden
//! channels where these have formats of their own (`channels.rs`).
//!
//! Of an activation `a = r + c` the part `r` is looked up, whose numbers lie on both sides of 0, and `W2 c` is in the second matrix' bias.

use ndarray::Array2;
use sotto_protocols::{
    Wire,
    plan::{Trace, WeightSpec},
};

use crate::{
    Calibration, Error, Model, Weights,
    calibration::Group,
    fixed::{WEIGHT, Widths},
    kind::Activation,
    layer::{
        Base, Sublayer,
        activation::{self, ActivationFormat, Constant, OF_A_GROUP, OF_ALL},
    },
    matrix::{Folded, Named},
    options::Tables,
    probe::{Probe, Tensor},
    rows::{flat, linear},
};

fn path(layer: usize, part: &str) -> String {
    format!("blocks.{layer}.{part}")
}

/// The MLP of the rows `n`.
pub fn float(
    model: &Model,
    weights: &Weights,
    layer: usize,
    n: &Array2<f32>,
    probe: &mut dyn Probe,
) -> Array2<f32> {
    let block = model.block(layer);
    let mut h = linear(n, weights.linear(&format!("{block}.mlp.fc1")));
    probe.see(layer, Tensor::Hidden, flat(&h));
    let activation = model.stack.activation[layer];
    h.mapv_inplace(|x| activation.at(x));
    probe.see(layer, Tensor::Active, flat(&h));
    let y = linear(&h, weights.linear(&format!("{block}.mlp.fc2")));
    probe.see(layer, Tensor::Written, flat(&y));
    y
}

/// The format of a layer's activation: of each group of its hidden channels, how many and which.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpFormat {
    /// The groups, in the order of the channels.
    pub groups: Vec<(usize, ActivationFormat)>,
}

impl MlpFormat {
    /// Width at which the widest argument is opened.
    pub fn opened(&self) -> u32 {
        self.groups.iter().map(|(_, format)| format.opened()).max().unwrap_or(0)
    }

    /// Whether there is no activation, so that both products are one.
    pub fn is_none(&self) -> bool {
        self.groups.iter().all(|(_, format)| *format == ActivationFormat::None)
    }
}

/// The format of a layer's activation.
///
/// # Errors
/// [`Error::Calibration`] when its range is missing, or its groups are not the layer's.
pub fn format(model: &Model, cal: &Calibration, layer: usize) -> Result<MlpFormat, Error> {
    let activation = model.stack.activation[layer];
    if activation == Activation::None {
        return Ok(MlpFormat { groups: vec![(model.stack.hidden, ActivationFormat::None)] });
    }
    let groups = cal.groups(layer, model.stack.hidden)?;
    let fineness = if groups.len() > 1 { OF_A_GROUP } else { OF_ALL };
    let of = |group: Group| {
        let constant = Constant::InBias;
        (group.channels, activation::format(activation, group.range, fineness, constant))
    };
    Ok(MlpFormat { groups: groups.into_iter().map(of).collect() })
}

/// Folds the matrices: the first with the residual's copy, and the second; or the only one.
pub fn fold(
    model: &Model,
    weights: &Weights,
    sublayer: &Sublayer,
    format: &MlpFormat,
    out: &mut Named,
) {
    let (layer, block) = (sublayer.layer, model.block(sublayer.layer));
    let norm = sublayer.norm.map(|site| weights.norm(&site.path(model)));
    let norm = norm.expect("an MLP reads a norm");
    let mut fc1 = Folded::new(&weights.linear(&format!("{block}.mlp.fc1"))).after(&norm);
    let fc2 = weights.linear(&format!("{block}.mlp.fc2"));
    let residual = (sublayer.base == Base::Norm).then(|| Folded::diagonal(&norm));
    if format.is_none() {
        let mut both = fc1.then(&fc2);
        if let Some(residual) = &residual {
            both = both.plus(residual);
        }
        out.insert(path(layer, "mlp"), both.centred().fixed());
        return;
    }
    let mut second = Folded::new(&fc2).centred();
    // Of the weights as they are rounded: their rounding is multiplied by the constant.
    let one = f64::from(WEIGHT).exp2();
    let rounded = |w: &f64| (w * one).round() / one;
    let mut first = 0;
    for (channels, activation) in &format.groups {
        let end = first + channels;
        for (row, bias) in second.w.chunks_exact(second.inputs).zip(&mut second.bias) {
            *bias += activation.added() * row[first..end].iter().map(rounded).sum::<f64>();
        }
        fc1.scale(first, end, activation.stretch());
        first = end;
    }
    if let Some(residual) = residual {
        fc1 = fc1.stack(residual.centred());
    }
    out.insert(path(layer, "mlp.fc1"), fc1.fixed());
    out.insert(path(layer, "mlp.fc2"), second.fixed());
}

/// `base + mlp(n)`; `x` is the base where it is not copied from `n`.
pub fn trace(
    t: &mut Trace,
    model: &Model,
    sublayer: &Sublayer,
    (format, widths): (&MlpFormat, Widths),
    tables: Tables,
    [n, x]: [Wire; 2],
) -> Wire {
    let (layer, d, hidden) = (sublayer.layer, model.stack.width, model.stack.hidden);
    let weight = |t: &mut Trace, part: &str, outputs, inputs, width| {
        let name = path(layer, part);
        t.weight(WeightSpec { name, outputs, inputs, width, scale: WEIGHT })
    };
    let copied = sublayer.base == Base::Norm;
    if format.is_none() {
        let w = weight(t, "mlp", d, d, widths.reader);
        let y = t.linear(n, w, 1);
        return if copied { y } else { t.sum(x, y) };
    }
    let outputs = if copied { hidden + d } else { hidden };
    let w = weight(t, "mlp.fc1", outputs, d, widths.reader);
    let all = t.linear(n, w, 1);
    let last = t.spec(all).shape.len() - 1;
    let mut end = 0;
    let groups = format.groups.iter().map(|(channels, activation)| {
        end += channels;
        let own: Vec<usize> = (end - channels..end).collect();
        (t.pick(all, last, &own), activation)
    });
    let groups: Vec<(Wire, &ActivationFormat)> = groups.collect();
    let base = if copied {
        let copy: Vec<usize> = (hidden..hidden + d).collect();
        t.pick(all, last, &copy)
    } else {
        x
    };
    let each = groups.into_iter();
    let active =
        each.map(|(h, activation)| activation::trace(t, activation, tables, h, widths.writer));
    let active: Vec<Wire> = active.collect();
    let h = t.concat(last, &active);
    let w = weight(t, "mlp.fc2", d, hidden, widths.writer);
    let y = t.linear(h, w, 1);
    t.sum(base, y)
}
