//! Choices that are not the model's.

use serde::{Deserialize, Serialize};

/// How the softmax's shift is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaxKind {
    /// By counting thresholds: for every input in range.
    #[default]
    Coarse,
    /// A calibrated public maximum where the calibrated row maxima lie within four powers of two, else counted: rows far below it lose
    /// their weights' last bits.
    Public,
}

/// What the client learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reveal {
    /// All logits; an embedding.
    #[default]
    Logits,
    /// The same, rounded to [`ROUNDED`] bits each.
    Rounded,
    /// The class alone, a bit for each.
    Class,
}

/// Bits of a rounded logit.
pub const ROUNDED: u32 = 8;

/// How smooth activations are looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tables {
    /// Piecewise linear, two flights an activation.
    #[default]
    Pieces,
    /// Polynomials by row, one flight and many more offline bytes: for long delays.
    Rows,
}

/// Which lengths of texts the number format has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lengths {
    /// Public ones.
    #[default]
    Public,
    /// Hidden ones ([`crate::length::Length`]), too: a bit more for scores where hidden ones need it. Plans of public and
    /// of hidden lengths then have the same format and matrices.
    Hidden,
}

/// Choices that are not the model's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How softmax finds its shift.
    pub max: MaxKind,
    /// What the client learns.
    pub reveal: Reveal,
    /// How activations are looked up.
    pub tables: Tables,
    /// Which lengths texts may have.
    pub lengths: Lengths,
}
