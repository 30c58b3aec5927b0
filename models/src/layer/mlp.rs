//! The MLP: `fc2(activation(fc1 n))`.
//!
//! Privately, the first matrix also copies `n` where the residual starts from it; an MLP without an activation is one
//! matrix, residual included: `W2 W1 + I`. The activation's stretch goes into the first matrix.

use ndarray::Array2;
use sotto_protocols::{
    Wire,
    plan::{Trace, WeightSpec},
};

use crate::{
    Calibration, Error, Model, Weights,
    fixed::{WEIGHT, Widths},
    layer::{
        Base, Sublayer,
        activation::{self, ActivationFormat},
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

/// The format of a layer's activation.
///
/// # Errors
/// [`Error::Calibration`] when its range is missing.
pub fn format(model: &Model, cal: &Calibration, layer: usize) -> Result<ActivationFormat, Error> {
    activation::format(model.stack.activation[layer], cal, layer, Tensor::Hidden)
}

/// Folds the matrices: the first with the residual's copy, and the second; or the only one.
pub fn fold(
    model: &Model,
    weights: &Weights,
    sublayer: &Sublayer,
    format: &ActivationFormat,
    out: &mut Named,
) {
    let (layer, block) = (sublayer.layer, model.block(sublayer.layer));
    let norm = sublayer.norm.map(|site| weights.norm(&site.path(model)));
    let norm = norm.expect("an MLP reads a norm");
    let mut fc1 = Folded::new(&weights.linear(&format!("{block}.mlp.fc1"))).after(&norm);
    let fc2 = weights.linear(&format!("{block}.mlp.fc2"));
    let residual = (sublayer.base == Base::Norm).then(|| Folded::diagonal(&norm));
    if *format == ActivationFormat::None {
        let mut both = fc1.then(&fc2);
        if let Some(residual) = &residual {
            both = both.plus(residual);
        }
        out.insert(path(layer, "mlp"), both.centred().fixed());
        return;
    }
    fc1.scale(0, model.stack.hidden, format.stretch());
    if let Some(residual) = residual {
        fc1 = fc1.stack(residual.centred());
    }
    out.insert(path(layer, "mlp.fc1"), fc1.fixed());
    out.insert(path(layer, "mlp.fc2"), Folded::new(&fc2).centred().fixed());
}

/// `base + mlp(n)`; `x` is the base where it is not copied from `n`.
pub fn trace(
    t: &mut Trace,
    model: &Model,
    sublayer: &Sublayer,
    (format, widths): (&ActivationFormat, Widths),
    tables: Tables,
    [n, x]: [Wire; 2],
) -> Wire {
    let (layer, d, hidden) = (sublayer.layer, model.stack.width, model.stack.hidden);
    let weight = |t: &mut Trace, part: &str, outputs, inputs, width| {
        let name = path(layer, part);
        t.weight(WeightSpec { name, outputs, inputs, width, scale: WEIGHT })
    };
    let copied = sublayer.base == Base::Norm;
    if *format == ActivationFormat::None {
        let w = weight(t, "mlp", d, d, widths.reader);
        let y = t.linear(n, w, 1);
        return if copied { y } else { t.sum(x, y) };
    }
    let outputs = if copied { hidden + d } else { hidden };
    let w = weight(t, "mlp.fc1", outputs, d, widths.reader);
    let all = t.linear(n, w, 1);
    let last = t.spec(all).shape.len() - 1;
    let first: Vec<usize> = (0..hidden).collect();
    let h = t.pick(all, last, &first);
    let base = if copied {
        let copy: Vec<usize> = (hidden..hidden + d).collect();
        t.pick(all, last, &copy)
    } else {
        x
    };
    let h = activation::trace(t, format, tables, h, widths.writer);
    let w = weight(t, "mlp.fc2", d, hidden, widths.writer);
    let y = t.linear(h, w, 1);
    t.sum(base, y)
}
