//! Records a calibration: a forward pass of each input, and whatever it sees.

use std::collections::BTreeMap;

use super::{Calibration, Range, hex};
use crate::{
    Model, Weights,
    channels::Channels,
    float::forward,
    heads::Heads,
    probe::{Both, NoProbe, Probe, Tensor},
};

struct Recorder<'a> {
    layers: &'a mut [BTreeMap<String, Range>],
    beside: &'a mut dyn Probe,
}

impl Probe for Recorder<'_> {
    /// Heads of one kind share their name, and so their widths.
    fn see(&mut self, layer: usize, tensor: Tensor, values: &[f32]) {
        let range = self.layers[layer].entry(tensor.to_string()).or_insert(Range::EMPTY);
        *range = values.iter().fold(*range, |range, &x| range.with(x));
        self.beside.see(layer, tensor, values);
    }
}

impl Calibration {
    /// Records the ranges on normalised images, or on texts' rows ([`crate::text::rows`]); `progress` is called after
    /// each. `model` is a [`Model`] or an [`crate::Arch`].
    pub fn record(
        model: impl Into<Model>,
        weights: &Weights,
        images: &[Vec<f32>],
        progress: impl FnMut(usize),
    ) -> Self {
        Self::record_beside(&model.into(), weights, images, (&mut NoProbe, progress))
    }

    /// What inputs reach, in the groups of this calibration, which is one of `weights`.
    pub fn seen(&self, model: &Model, weights: &Weights, inputs: &[Vec<f32>]) -> Self {
        let (mut channels, mut heads) = (Channels::new(model), Heads::new(model));
        let mut both = Both(&mut channels, &mut heads);
        let seen = Self::record_beside(model, weights, inputs, (&mut both, |_| ()));
        let groups = (0..).zip(&self.groups).map(|(layer, own)| channels.grouped(layer, own));
        let heads = (0..).zip(&self.heads).map(|(layer, own)| heads.grouped(layer, own));
        Self { groups: groups.collect(), heads: heads.collect(), ..seen }
    }

    /// The same beside another who looks.
    pub(crate) fn record_beside(
        model: &Model,
        weights: &Weights,
        images: &[Vec<f32>],
        (beside, mut progress): (&mut dyn Probe, impl FnMut(usize)),
    ) -> Self {
        let mut layers = vec![BTreeMap::new(); model.stack.layers + 1];
        let mut recorder = Recorder { layers: &mut layers, beside };
        for (i, image) in images.iter().enumerate() {
            forward(model, weights, image, &mut recorder);
            progress(i + 1);
        }
        let weights = hex(&weights.hash());
        Self { images: images.len(), weights, groups: Vec::new(), heads: Vec::new(), layers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, kind::Attention, probe::HeadPart};

    #[test]
    fn ranges_cover_every_image_and_survive_toml() {
        let mut arch = Arch::vit(2, 2, 16, 32, 8, 4, 3);
        arch.attention[0][1] = Attention::Linear;
        arch.attention[1][0] = Attention::Relu;
        let weights = Weights::random(&arch, 1);
        let images: Vec<Vec<f32>> = (0..3)
            .map(|i| (0..192).map(|j| ((i * 57 + j * 31) % 17) as f32 / 8.0 - 1.0).collect())
            .collect();
        let all = Calibration::record(&arch, &weights, &images, |_| ());
        for image in &images {
            let one = Calibration::record(&arch, &weights, std::slice::from_ref(image), |_| ());
            for (a, b) in all.layers.iter().zip(&one.layers) {
                for (name, r) in b {
                    assert!(a[name].min <= r.min && r.max <= a[name].max, "{name}");
                }
            }
        }
        let range = |layer, kind, part| all.range(layer, Tensor::Head(kind, part));
        let linear = [HeadPart::KeyValue, HeadPart::Scores];
        assert!(linear.iter().any(|&part| range(0, Attention::Linear, part).is_ok()));
        assert!(range(1, Attention::Relu, HeadPart::RowSum).is_ok());
        assert!(range(0, Attention::Relu, HeadPart::RowSum).is_err());
        assert_eq!(Calibration::from_toml(&all.to_toml()).expect("own output"), all);
    }
}
