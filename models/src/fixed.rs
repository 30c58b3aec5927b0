//! Fixed point: how many bits values have, and how widths follow from ranges.
//!
//! Activations have [`ACTIVATION`] fractional bits and weights [`WEIGHT`], 12 and 16: more for the weights,
//! whose rounding dominates at 14, costs bits on the linear inputs alone. Every width leaves
//! [`MARGIN`] bits above the calibrated range.

use crate::{Error, range::Range};

/// Fractional bits of activations.
pub const ACTIVATION: u32 = 12;
/// Fractional bits of weights.
pub const WEIGHT: u32 = 16;
/// Bits above the calibrated range.
pub const MARGIN: u32 = 2;

/// Rings of a sublayer's matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Of the one that reads the norm, and of the copy of the norm that it makes.
    pub reader: u32,
    /// Of the one that writes the stream, and of the residual that it is added to.
    pub writer: u32,
}

/// Bits that hold sizes up to `size`: `size <= 2^bits`; at most 40, which no ring holds.
pub(crate) fn bits(size: f64) -> u32 {
    size.clamp(1.0, 1e12).log2().ceil() as u32
}

/// Width of an opening that can be lifted, with the margin.
pub(crate) fn liftable(range: Range, scale: u32) -> u32 {
    scale + bits(range.size()) + MARGIN + 2
}

pub(crate) fn at_most(what: &str, width: u32, limit: u32) -> Result<(), Error> {
    if width <= limit {
        return Ok(());
    }
    Err(Error::Calibration(format!(
        "{what} would need {width} bits, {limit} exist: the calibrated ranges are too wide"
    )))
}
