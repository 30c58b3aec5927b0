//! How a model's owner calibrates it: what is chosen first, without changing a result, is how keys are centred (`keys.rs`)
//! and how hidden channels (`channels.rs`) and heads are ordered; then ranges are recorded, and private results held against plain ones.

use crate::{
    Calibration, Error, Model, Private, Weights,
    agreement::Compared,
    calibration::{Group, Range, hex},
    channels::Channels,
    float::forward,
    heads::Heads,
    keys::Keys,
    options::{Lengths, Options},
    probe::Both,
};

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
    let (mut keys, mut channels) = (Keys::new(model), Channels::new(model));
    for (i, input) in inputs.iter().enumerate() {
        forward(model, weights, input, &mut Both(&mut keys, &mut channels));
        progress(i + 1);
    }
    channels.sorted(model, &keys.centred(model, weights))
}

/// Inputs on which private results are compared with plain ones.
const COMPARED: usize = 4;

/// A model that is ready to be run.
pub struct Calibrated {
    /// The weights that it is run with: [`arranged`], with heads of like range side by side; and the same to the bit where that changes nothing.
    pub weights: Weights,
    /// Their ranges.
    pub calibration: Calibration,
    /// By what factor all inputs exceed the first half of them, in the tensor where it is the most, and that tensor.
    pub grown: (f64, String),
    /// How far private results of some inputs are from plain ones, in parts of these.
    pub error: f64,
    /// The first tensor that is further away than [`BOUND`](crate::agreement::BOUND), where the results are.
    pub far: Option<String>,
}

/// Arranges and calibrates a model on `inputs`, and compares private results with plain ones on some of them. `progress` is
/// called after each forward pass, of which there are two for each input.
///
/// # Errors
/// [`Error::Calibration`] for ranges that no ring holds.
///
/// # Panics
/// As [`arranged`].
pub fn calibrated(
    model: &Model,
    weights: &Weights,
    inputs: &[Vec<f32>],
    mut progress: impl FnMut(usize),
) -> Result<Calibrated, Error> {
    let count = inputs.len();
    let (weights, groups) = arranged(model, weights, inputs, &mut progress);
    let (first, second) = inputs.split_at(count.div_ceil(2));
    // Scores are those of the centred keys.
    let mut heads = Heads::new(model);
    let mut record = |inputs: &[Vec<f32>], done: usize| {
        let told = |n| progress(done + n);
        Calibration::record_beside(model, &weights, inputs, (&mut heads, told))
    };
    let (half, rest) = (record(first, count), record(second, count + first.len()));
    let (weights, heads) = heads.sorted(model, weights);
    let hash = hex(&weights.hash());
    let calibration = Calibration { groups, heads, weights: hash, ..joined(&half, &rest) };
    Private::new(model, &calibration, 1, Options::default())?;
    let some: Vec<&Vec<f32>> = inputs.iter().step_by(count.div_ceil(COMPARED).max(1)).collect();
    let mut compared = Compared::new(model, &weights, &calibration, Lengths::Public);
    let (error, far) = compared.all(&some)?;
    drop(compared);
    let grown = grown(&half, &calibration);
    Ok(Calibrated { weights, calibration, grown, error, far })
}

/// The ranges of both.
fn joined(a: &Calibration, b: &Calibration) -> Calibration {
    let mut all = a.clone();
    all.images += b.images;
    for (ranges, more) in all.layers.iter_mut().zip(&b.layers) {
        for (name, r) in more {
            let range = ranges.entry(name.clone()).or_insert(*r);
            *range = Range { min: range.min.min(r.min), max: range.max.max(r.max) };
        }
    }
    all
}

fn grown(half: &Calibration, whole: &Calibration) -> (f64, String) {
    let mut most = (1.0, "no tensor".to_owned());
    for (layer, (half, whole)) in half.layers.iter().zip(&whole.layers).enumerate() {
        for (name, range) in whole {
            let before = half.get(name).map_or(0.0, Range::size);
            if before > 0.0 && range.size() / before > most.0 {
                most = (range.size() / before, format!("`{name}` of layer {layer}"));
            }
        }
    }
    most
}
