//! What a client gives: a picture, or a text.

use serde::{Deserialize, Serialize};

use crate::Arch;

/// What the client gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Input {
    /// A picture, cut into patches.
    Pixels(Pixels),
    /// A text, cut into words (tokens of its tokenizer).
    Words(Words),
}

/// A picture's size, and how it becomes rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pixels {
    /// Side of the square picture, in pixels.
    pub image: usize,
    /// Colour planes; 3.
    pub channels: usize,
    /// Side of a square patch, in pixels.
    pub patch: usize,
    /// Mean of each colour plane, for pixels in 0..=1.
    pub mean: [f32; 3],
    /// Standard deviation of each colour plane, for pixels in 0..=1.
    pub std: [f32; 3],
    /// Rows before the patches': the class token, then a distillation token or registers.
    pub lead: usize,
}

impl Pixels {
    /// Rows: the leading ones and (image / patch)^2 patches.
    pub fn tokens(&self) -> usize {
        (self.image / self.patch).pow(2) + self.lead
    }

    /// Pixels of one patch over all planes: channels * patch^2.
    pub fn patch_dim(&self) -> usize {
        self.channels * self.patch * self.patch
    }

    /// Numbers in a picture: channels * image^2.
    pub fn numbers(&self) -> usize {
        self.channels * self.image * self.image
    }
}

/// A vocabulary, and how its words become rows: word, position and kind added, normalised where `norm` says so, and mapped
/// to the stack's width where that is another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Number of words.
    pub vocabulary: usize,
    /// Longest text, in words. Row 0 of the positions is the first word's, whatever the checkpoint counts from.
    pub positions: usize,
    /// Kinds of words (first or second of a pair); 0 where the model has none.
    pub kinds: usize,
    /// Width of the tables: the stack's, or ALBERT's smaller one with `embed.map` behind it.
    pub width: usize,
    /// Whether the sum is normalised.
    pub norm: bool,
    /// Who knows the tables.
    pub table: Table,
}

/// Who knows the tensors `embed.*` of a [`Words`] input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Table {
    /// Everybody: the client looks its words up by itself, which costs nothing.
    #[default]
    Public,
}

impl From<&Pixels> for Pixels {
    fn from(pixels: &Pixels) -> Self {
        *pixels
    }
}

impl From<&Arch> for Pixels {
    fn from(arch: &Arch) -> Self {
        arch.pixels()
    }
}
