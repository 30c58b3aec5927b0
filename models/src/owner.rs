//! What a model's owner chooses before it calibrates, without changing a result: how keys are centred (`keys.rs`), how
//! hidden channels are ordered (`channels.rs`).

use crate::{
    Model, Weights,
    calibration::Group,
    channels::Channels,
    float::forward,
    keys::Keys,
    probe::{Probe, Tensor},
};

struct Both(Keys, Channels);

impl Probe for Both {
    fn see(&mut self, layer: usize, tensor: Tensor, values: &[f32]) {
        self.0.see(layer, tensor, values);
        self.1.see(layer, tensor, values);
    }
}

/// The same model with centred keys and sorted hidden channels, and each layer's groups of these, in one pass over `inputs`;
/// `progress` is called after each. What is calibrated and folded afterwards are these weights.
///
/// # Panics
/// Where `inputs` or `weights` do not have the model's shapes, or there is no input.
pub fn arranged(
    model: &Model,
    weights: &Weights,
    inputs: &[Vec<f32>],
    mut progress: impl FnMut(usize),
) -> (Weights, Vec<Vec<Group>>) {
    assert!(!inputs.is_empty(), "keys and channels are seen over inputs");
    let mut both = Both(Keys::new(model), Channels::new(model));
    for (i, input) in inputs.iter().enumerate() {
        forward(model, weights, input, &mut both);
        progress(i + 1);
    }
    let Both(keys, channels) = both;
    channels.sorted(model, &keys.centred(model, weights))
}
