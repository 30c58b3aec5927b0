//! The range of a tensor.

use serde::{Deserialize, Serialize};

/// Ranges beyond this are a broken model or a hostile file.
pub(crate) const LARGEST: f64 = 1e6;

/// Smallest and largest value of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Smallest.
    pub min: f32,
    /// Largest.
    pub max: f32,
}

impl Range {
    /// That of no value.
    pub const EMPTY: Range = Range { min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// The range with another value.
    pub fn with(self, x: f32) -> Self {
        self.and(Range { min: x, max: x })
    }

    /// The range of both.
    pub fn and(self, other: Range) -> Self {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// The range widened to the next of 16 steps an octave (`Grid`): what widths are chosen by. An extreme in full would tell
    /// whether a picture was among those that the model was calibrated on.
    pub fn rounded(&self) -> Self {
        Self { min: -up(-self.min), max: up(self.max) }
    }

    /// Whether it is one, of a size that some format may hold.
    pub(crate) fn is_sound(&self) -> bool {
        self.min <= self.max && self.size() <= LARGEST
    }

    /// Largest size.
    pub fn size(&self) -> f64 {
        f64::from(self.min.abs().max(self.max.abs()))
    }
}

/// Bits of a number that rounding drops: it leaves 4 behind the first.
const DROPPED: u32 = f32::MANTISSA_DIGITS - 1 - 4;

/// A number of 16 steps an octave, by its place among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grid(i32);

impl Grid {
    /// The last one within [`LARGEST`].
    pub const LAST: Grid = Grid(((LARGEST as f32).to_bits() >> DROPPED) as i32);

    /// The place of a number of the grid.
    pub fn of(x: f32) -> Self {
        let place = (x.abs().to_bits() >> DROPPED) as i32;
        Self(if x < 0.0 { -place } else { place })
    }

    /// The number.
    pub fn value(self) -> f32 {
        let size = f32::from_bits(self.0.unsigned_abs() << DROPPED);
        if self.0 < 0 { -size } else { size }
    }

    /// One halfway to a later one, and later than this one.
    pub fn middle(self, later: Self) -> Self {
        Self(self.0 + (later.0 - self.0 + 1) / 2)
    }

    /// The one before.
    pub fn before(self) -> Self {
        Self(self.0 - 1)
    }
}

/// The least number not below `x` that has 4 bits behind its first.
fn up(x: f32) -> f32 {
    let down = f32::from_bits(x.to_bits() >> DROPPED << DROPPED);
    match x > 0.0 && x.is_finite() && down < x {
        true => f32::from_bits(down.to_bits() + (1 << DROPPED)),
        // Towards zero is up for what is negative.
        false => down,
    }
}
