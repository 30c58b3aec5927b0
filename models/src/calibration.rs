//! Calibration: the range of every tensor on a set of images.
//!
//! Ranges fix ring widths and scales ([`crate::format`]), with at least two bits of margin. They are the owner's: peers learn the
//! format alone, from the widest ranges that give it ([`Calibration::told`]).

mod record;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::range::LARGEST;
pub use crate::range::Range;

use crate::{Error, probe::Tensor};

/// Hidden channels of one range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How many.
    pub channels: usize,
    /// The range of their products.
    pub range: Range,
}

/// Most groups of a layer that are read.
const MOST_GROUPS: usize = 16;

/// Ranges of all tensors of a model, layer by layer, with what they were measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Number of images.
    pub images: usize,
    /// Hash of the weights.
    pub weights: String,
    /// Hidden channels of each MLP in groups of their own ranges, in the order of the weights ([`crate::owner::arranged`]);
    /// empty where all channels of a layer have one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<Group>>,
    /// Ranges by name: one map a layer, the last for what follows the layers.
    pub layers: Vec<BTreeMap<String, Range>>,
}

impl Calibration {
    /// Every range rounded as [`Calibration::range`] reads it, which gives the same format.
    pub fn rounded(&self) -> Self {
        let round = |layer: &BTreeMap<String, Range>| {
            layer.iter().map(|(name, range)| (name.clone(), range.rounded())).collect()
        };
        let group = |group: &Group| Group { range: group.range.rounded(), ..*group };
        let groups = |layer: &Vec<Group>| layer.iter().map(group).collect();
        Self {
            layers: self.layers.iter().map(round).collect(),
            groups: self.groups.iter().map(groups).collect(),
            ..self.clone()
        }
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
            Some(r) if r.is_sound() => Ok(r.rounded()),
            Some(_) => Err(Error::Calibration(format!(
                "layer {layer}: `{name}` is not a range within {LARGEST}"
            ))),
            None => Err(Error::Calibration(format!(
                "layer {layer} has no range of `{name}`; calibrate this architecture again"
            ))),
        }
    }

    /// The groups of a layer's `hidden` channels, their ranges rounded outwards; one for all where none are given.
    ///
    /// # Errors
    /// [`Error::Calibration`] when they are not the layer's, or a range is none.
    pub fn groups(&self, layer: usize, hidden: usize) -> Result<Vec<Group>, Error> {
        if self.groups.is_empty() {
            let range = self.range(layer, Tensor::Hidden)?;
            return Ok(vec![Group { channels: hidden, range }]);
        }
        let groups = self.groups.get(layer).map_or(&[][..], |groups| groups);
        let bad = |why: String| Error::Calibration(format!("layer {layer}: `groups` {why}"));
        if !(1..=MOST_GROUPS).contains(&groups.len()) {
            return Err(bad(format!("are {}; accepted: 1 to {MOST_GROUPS}", groups.len())));
        }
        let total = groups.iter().try_fold(0usize, |sum, group| sum.checked_add(group.channels));
        if total != Some(hidden) || groups.iter().any(|group| group.channels == 0) {
            return Err(bad(format!("do not make {hidden} channels of one or more each")));
        }
        if groups.iter().any(|group| !group.range.is_sound()) {
            return Err(bad(format!("have a range that is none within {LARGEST}")));
        }
        let round = |group: &Group| Group { range: group.range.rounded(), ..*group };
        Ok(groups.iter().map(round).collect())
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
