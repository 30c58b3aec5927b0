//! The models whose gates are measured: random weights, all kinds, several sizes.

use sotto_crypto::Seed;
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    format::MaxKind,
    private::{Options, Reveal, Tables},
};
use sotto_protocols::make::Extension;

/// A model to measure.
pub(super) struct Model {
    pub(super) arch: Arch,
    options: Options,
    ranges: Ranges,
}

/// Where a model's ranges come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ranges {
    /// Its random weights.
    Recorded,
    /// The same, where a trained model reaches further: to what the demo's model does.
    Trained,
    /// Rows of unlike size in every norm, as attention sinks and registers make them.
    Unlike,
}

/// What trained models reach, by tensor: windows, tables and one-hots follow from it.
const TRAINED: [(&str, f32, f32); 4] = [
    ("softmax.scores", -11.0, 14.0),
    ("softmax.row_max", -1.0, 14.0),
    ("relu.scores", -9.0, 9.0),
    ("fc1.out", -11.5, 9.0),
];

/// Three layers whose heads and activations are each of another kind.
fn layered(heads: usize, dim: usize, image: usize, classes: usize) -> Arch {
    let mut arch = Arch::vit(3, heads, dim, 2 * dim, image, 4, classes);
    // Without weights that were trained for it, linear attention needs the narrow ranges of the first layer.
    arch.attention = Attention::ALL.iter().rev().map(|&kind| vec![kind; heads]).collect();
    arch.activation = vec![Activation::Gelu, Activation::Relu, Activation::None];
    arch
}

pub(super) fn all() -> Vec<Model> {
    let mut mixed = layered(4, 128, 32, 10);
    let kinds = Attention::ALL;
    mixed.attention = (0..3).map(|l| (0..4).map(|h| kinds[(l + h) % 3]).collect()).collect();
    let class_only = Options { reveal: Reveal::Class, ..Options::default() };
    let public = Options { max: MaxKind::Public, ..Options::default() };
    let rows = Options { tables: Tables::Rows, ..class_only };
    [
        (layered(4, 256, 32, 10), Options::default(), Ranges::Recorded),
        (layered(12, 192, 64, 200), Options::default(), Ranges::Recorded),
        (layered(4, 64, 32, 10), class_only, Ranges::Recorded),
        (mixed.clone(), public, Ranges::Recorded),
        (layered(4, 128, 32, 10), Options::default(), Ranges::Trained),
        (mixed, rows, Ranges::Recorded),
        (layered(4, 64, 32, 10), Options::default(), Ranges::Unlike),
    ]
    .map(|(arch, options, ranges)| Model { arch, options, ranges })
    .into()
}

#[cfg(test)]
pub(super) fn small() -> Model {
    Model { arch: layered(2, 16, 8, 4), options: Options::default(), ranges: Ranges::Trained }
}

impl Model {
    /// Whether its gates are those of the other models.
    pub(super) fn is_typical(&self) -> bool {
        self.options.tables == Tables::Pieces
    }

    /// By which transfers batches of it are made without a dealer, too: of one that is small and has every kind of work, and of one
    /// whose steps are as large as those of whole models. What a step reads is in no cache there.
    pub(super) fn made(&self) -> &'static [Extension] {
        match (self.arch.dim, self.ranges) {
            (64, Ranges::Unlike) => &[Extension::Ferret, Extension::SOFTSPOKEN],
            (256, Ranges::Recorded) => &[Extension::Ferret],
            _ => &[],
        }
    }

    /// An image of about normal noise: a regular one would have attention of a single direction.
    pub(super) fn image(&self) -> Vec<f32> {
        let pixels = self.arch.channels * self.arch.image * self.arch.image;
        let mut stream = Seed::from_bytes([1; 32]).stream(0);
        (0..pixels).map(|_| (0..12).map(|_| stream.unit()).sum::<f64>() as f32 - 6.0).collect()
    }

    /// The traced model.
    pub(super) fn private(&self) -> Private {
        let weights = Weights::random(&self.arch, 7);
        let mut calibration = Calibration::record(&self.arch, &weights, &[self.image()], |_| ());
        for layer in &mut calibration.layers {
            match self.ranges {
                Ranges::Recorded => {}
                Ranges::Trained => {
                    for (name, min, max) in TRAINED {
                        if let Some(range) = layer.get_mut(name) {
                            (range.min, range.max) = (range.min.min(min), range.max.max(max));
                        }
                    }
                }
                Ranges::Unlike => {
                    let norms = layer.iter_mut().filter(|(name, _)| name.ends_with(".var"));
                    norms.for_each(|(_, range)| range.min /= 4096.0);
                }
            }
        }
        Private::new(&self.arch, &calibration, 1, self.options).expect("these models have a format")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_format() {
        for model in all() {
            assert!(model.private().plan.online().flights > 0);
        }
    }
}
