//! Calibration: the range of every tensor on a set of images.
//!
//! Ranges fix ring widths and scales ([`crate::format`]), with at least two bits of margin. They are
//! public, like the architecture: a client learns them, and through them a little about the
//! weights (the size of each tensor on the calibration images).

mod record;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::range::Range;

use crate::{Error, probe::Tensor};

/// Ranges beyond this are a broken model or a hostile file.
const LARGEST: f64 = 1e6;

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

impl Calibration {
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
    pub fn range(&self, layer: usize, tensor: Tensor) -> Result<Range, Error> {
        self.named(layer, &tensor.to_string())
    }

    /// The range of a tensor by its name in the file, rounded outwards.
    ///
    /// # Errors
    /// As [`Calibration::range`].
    pub fn named(&self, layer: usize, name: &str) -> Result<Range, Error> {
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
