//! Calibration: the range of every tensor on a set of images.
//!
//! Ranges fix ring widths and scales ([`crate::format`]), with at least two bits of margin. They are the owner's: peers learn the
//! format alone, from the widest ranges that give it ([`Calibration::told`]).

mod record;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::range::LARGEST;
pub use crate::range::Range;

use crate::{
    Error,
    kind::Attention,
    probe::{HeadPart, Tensor},
};

/// Hidden channels of one range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How many.
    pub channels: usize,
    /// The range of their products.
    pub range: Range,
}

/// Softmax heads of one format, and their ranges.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadGroup {
    /// How many.
    pub heads: usize,
    /// Of their scores.
    pub scores: Range,
    /// Of their rows' largest scores.
    pub row_max: Range,
    /// Of their rows' sums.
    pub row_sum: Range,
    /// Of their outputs before the division.
    pub unnormalised: Range,
}

impl HeadGroup {
    /// A head of which nothing was seen.
    pub(crate) const EMPTY: HeadGroup = HeadGroup {
        heads: 1,
        scores: Range::EMPTY,
        row_max: Range::EMPTY,
        row_sum: Range::EMPTY,
        unnormalised: Range::EMPTY,
    };

    /// The parts that it has ranges of.
    pub const PARTS: [HeadPart; 4] =
        [HeadPart::Scores, HeadPart::RowMax, HeadPart::RowSum, HeadPart::Unnormalised];

    /// The range of a part that softmax heads have.
    pub(crate) fn range_mut(&mut self, part: HeadPart) -> Option<&mut Range> {
        match part {
            HeadPart::Scores => Some(&mut self.scores),
            HeadPart::RowMax => Some(&mut self.row_max),
            HeadPart::RowSum => Some(&mut self.row_sum),
            HeadPart::Unnormalised => Some(&mut self.unnormalised),
            HeadPart::KeyValue => None,
        }
    }

    pub(crate) fn each(&self, of: impl Fn(Range) -> Range) -> Self {
        let Self { heads, scores, row_max, row_sum, unnormalised } = *self;
        let [scores, row_max, row_sum, unnormalised] =
            [scores, row_max, row_sum, unnormalised].map(of);
        Self { heads, scores, row_max, row_sum, unnormalised }
    }

    /// All of them.
    pub fn parts(&self) -> [Range; 4] {
        [self.scores, self.row_max, self.row_sum, self.unnormalised]
    }

    /// The ranges of both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            heads: self.heads,
            scores: self.scores.and(other.scores),
            row_max: self.row_max.and(other.row_max),
            row_sum: self.row_sum.and(other.row_sum),
            unnormalised: self.unnormalised.and(other.unnormalised),
        }
    }
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
    /// Softmax heads of each layer in groups of their own ranges, in the order of the weights; empty where all of a layer have one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<Vec<HeadGroup>>,
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
        let head = |group: &HeadGroup| group.each(|range| range.rounded());
        let heads = |layer: &Vec<HeadGroup>| layer.iter().map(head).collect();
        Self {
            layers: self.layers.iter().map(round).collect(),
            groups: self.groups.iter().map(groups).collect(),
            heads: self.heads.iter().map(heads).collect(),
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

    /// The groups of a layer's softmax heads, of which it has so many, their ranges rounded outwards; one for all where none are
    /// given.
    ///
    /// # Errors
    /// [`Error::Calibration`] when they are not the layer's, or a range is none.
    pub fn head_groups(&self, layer: usize, count: usize) -> Result<Vec<HeadGroup>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        if self.heads.is_empty() {
            let range = |part| self.range(layer, Tensor::Head(Attention::Softmax, part));
            return Ok(vec![HeadGroup {
                heads: count,
                scores: range(HeadPart::Scores)?,
                row_max: range(HeadPart::RowMax)?,
                row_sum: range(HeadPart::RowSum)?,
                unnormalised: range(HeadPart::Unnormalised)?,
            }]);
        }
        let groups = self.heads.get(layer).map_or(&[][..], |groups| groups);
        let bad = |why: String| Error::Calibration(format!("layer {layer}: `heads` {why}"));
        if !(1..=MOST_GROUPS).contains(&groups.len()) {
            return Err(bad(format!("are {}; accepted: 1 to {MOST_GROUPS}", groups.len())));
        }
        let total = groups.iter().try_fold(0usize, |sum, group| sum.checked_add(group.heads));
        if total != Some(count) || groups.iter().any(|group| group.heads == 0) {
            return Err(bad(format!("do not make {count} softmax heads of one or more each")));
        }
        if groups.iter().any(|group| group.parts().iter().any(|range| !range.is_sound())) {
            return Err(bad(format!("have a range that is none within {LARGEST}")));
        }
        Ok(groups.iter().map(|group| group.each(|range| range.rounded())).collect())
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
