//! The plaintext float32 reference of the whole model: what the protocols are held against.

use ndarray::Axis;

pub use crate::kind::RELU_EPS;
pub use crate::probe::{NoProbe, Probe, Tensor};

use crate::{
    Model, Weights,
    layer::{Base, Kind, attention, embedding, head, last_norm, mlp, norm, sublayers},
    rows::flat,
};

/// The result for one input: a picture given as planes and normalised ([`crate::images::normalise`]), or a text's rows
/// ([`crate::text::rows`]).
///
/// Classes are one number each, token labels a row of classes for each word, an embedding a row. `model` is a [`Model`] or
/// an [`crate::Arch`].
///
/// # Panics
/// Where `input` or `weights` do not have the model's shapes.
pub fn forward(
    model: impl Into<Model>,
    weights: &Weights,
    input: &[f32],
    probe: &mut dyn Probe,
) -> Vec<f32> {
    let model = &model.into();
    let mut x = embedding::float(model, weights, input, probe);
    for sublayer in sublayers(model) {
        let layer = sublayer.layer;
        let n = match sublayer.norm {
            Some(site) => norm::float(site, model, weights, &x, probe),
            None => x.clone(),
        };
        let (y, residual) = match sublayer.kind {
            Kind::Attention => {
                (attention::float(model, weights, layer, &n, probe), Tensor::Residual1)
            }
            Kind::Mlp => (mlp::float(model, weights, layer, &n, probe), Tensor::Residual2),
        };
        if sublayer.base == Base::Norm {
            x = n;
        }
        x += &y;
        probe.see(layer, residual, flat(&x));
    }
    let x = x.select(Axis(0), &head::read(model, x.nrows()));
    let n = norm::float(last_norm(model), model, weights, &x, probe);
    head::float(model, weights, n, probe)
}

#[cfg(test)]
mod tests;
