//! The range of a tensor.

use serde::{Deserialize, Serialize};

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
