//! Calibration: the range of every tensor on a set of images.
//!
//! Ranges fix ring widths and scales ([`crate::format`]), with at least two bits of margin. They are
//! public, like the architecture: a client learns them, and through them a little about the
//! weights (the size of each tensor on the calibration images).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Arch, Error, Weights,
    arch::Attention,
    float::{Probe, forward},
};

/// Ranges beyond this are a broken model or a hostile file.
const LARGEST: f64 = 1e6;

/// Smallest and largest value of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Smallest.
    pub min: f32,
    /// Largest.
    pub max: f32,
}

impl Range {
    /// The range widened to the next of 16 steps an octave: what widths are chosen by, and all that peers are told. An
    /// extreme in full would tell whether a picture was among those that the model was calibrated on.
    pub fn rounded(&self) -> Self {
        Self { min: -up(-self.min), max: up(self.max) }
    }

    /// Largest size.
    pub fn size(&self) -> f64 {
        f64::from(self.min.abs().max(self.max.abs()))
    }
}

/// Ranges of all tensors of a model, layer by layer, with what they were measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Number of images.
    pub images: usize,
    /// Hash of the weights.
    pub weights: String,
    /// Ranges by name: one map a layer, the last for what follows the layers.
    pub layers: Vec<BTreeMap<String, Range>>,
}

/// The least number not below `x` that has 4 bits behind its first.
fn up(x: f32) -> f32 {
    const DROPPED: u32 = f32::MANTISSA_DIGITS - 1 - 4;
    let down = f32::from_bits(x.to_bits() >> DROPPED << DROPPED);
    match x > 0.0 && x.is_finite() && down < x {
        true => f32::from_bits(down.to_bits() + (1 << DROPPED)),
        // Towards zero is up for what is negative.
        false => down,
    }
}

struct Recorder<'a> {
    layers: &'a mut [BTreeMap<String, Range>],
    kind: Attention,
}

impl Probe for Recorder<'_> {
    fn see(&mut self, layer: usize, name: &'static str, values: &[f32]) {
        // Heads of one kind share their widths.
        let name = match name.strip_prefix("attn.head.") {
            Some(rest) => format!("{}.{rest}", self.kind.name()),
            None => name.to_owned(),
        };
        let fresh = Range { min: f32::INFINITY, max: f32::NEG_INFINITY };
        let range = self.layers[layer].entry(name).or_insert(fresh);
        for &v in values {
            range.min = range.min.min(v);
            range.max = range.max.max(v);
        }
    }

    fn head(&mut self, _: usize, _: usize, kind: Attention) {
        self.kind = kind;
    }
}

impl Calibration {
    /// Records the ranges on normalised images; `progress` is called after each.
    pub fn record(
        arch: &Arch,
        weights: &Weights,
        images: &[Vec<f32>],
        mut progress: impl FnMut(usize),
    ) -> Self {
        let mut layers = vec![BTreeMap::new(); arch.layers + 1];
        let mut recorder = Recorder { layers: &mut layers, kind: Attention::Softmax };
        for (i, image) in images.iter().enumerate() {
            forward(arch, weights, image, &mut recorder);
            progress(i + 1);
        }
        Self { images: images.len(), weights: hex(&weights.hash()), layers }
    }

    /// What peers are told: every range rounded, which gives the same format.
    pub fn rounded(&self) -> Self {
        let round = |layer: &BTreeMap<String, Range>| {
            layer.iter().map(|(name, range)| (name.clone(), range.rounded())).collect()
        };
        Self { layers: self.layers.iter().map(round).collect(), ..self.clone() }
    }

    /// The range of a tensor, rounded outwards.
    ///
    /// # Errors
    /// [`Error::Calibration`] when it was not recorded or is not a range.
    pub fn range(&self, layer: usize, name: &str) -> Result<Range, Error> {
        let range = self.layers.get(layer).and_then(|l| l.get(name));
        match range {
            Some(r) if r.min <= r.max && r.size() <= LARGEST => Ok(r.rounded()),
            Some(_) => Err(Error::Calibration(format!(
                "layer {layer}: `{name}` is not a range within {LARGEST}"
            ))),
            None => Err(Error::Calibration(format!(
                "layer {layer} has no range of `{name}`; calibrate this architecture again"
            ))),
        }
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("ranges are plain data")
    }

    /// From TOML.
    ///
    /// # Errors
    /// [`Error::Calibration`] with the place of the mistake.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|e| Error::Calibration(e.to_string()))
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(all.range(0, "linear.kv").is_ok() || all.range(0, "linear.scores").is_ok());
        assert!(all.range(1, "relu.row_sum").is_ok());
        assert!(all.range(0, "relu.row_sum").is_err());
        assert_eq!(Calibration::from_toml(&all.to_toml()).expect("own output"), all);
    }
}
