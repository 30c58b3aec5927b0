//! The function between two products.
//!
//! Smooth ones are tables over a window of the calibrated range; ReLU is exact. The argument of those that allow it is
//! stretched by its owner, so that a window of a power of two fits its range.

use sotto_protocols::{
    Wire,
    functions::{Function, Unit, Window},
    gates::{lookup::Precision, row_table::Rows},
    plan::Trace,
};

use crate::{
    Error,
    fixed::{ACTIVATION, MARGIN, at_most, bits, liftable},
    kind::Activation,
    options::Tables,
    range::Range,
};

/// Logarithm of the most rows of an activation's row table: 2^10 are 160 kB for each element.
const MAX_ROWS: u32 = 10;

/// Format of an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActivationFormat {
    /// A lookup.
    Lookup {
        /// The function.
        function: Function,
        /// Its window.
        window: Window,
        /// Its table.
        precision: Precision,
    },
    /// Exact ReLU at this opened width.
    Relu(u32),
    /// None: both products are one.
    None,
}

impl ActivationFormat {
    /// Factor by which the owner stretches the activation's argument.
    pub fn stretch(&self) -> f64 {
        let ActivationFormat::Lookup { function, .. } = self else { return 1.0 };
        match function {
            Function::Gelu { stretch }
            | Function::GeluTanh { stretch }
            | Function::QuickGelu { stretch }
            | Function::Less { stretch, .. } => *stretch,
            _ => 1.0,
        }
    }

    /// The constant that is added to what is looked up.
    pub fn added(&self) -> f64 {
        match self {
            ActivationFormat::Lookup { function: Function::Less { value, .. }, .. } => *value,
            _ => 0.0,
        }
    }

    /// Width at which the argument is opened.
    pub fn opened(&self) -> u32 {
        match self {
            ActivationFormat::Lookup { window, .. } => window.bits,
            ActivationFormat::Relu(width) => *width,
            ActivationFormat::None => 0,
        }
    }

    /// Every ring and table exists that the trace will use for a result of `width` bits.
    ///
    /// # Errors
    /// [`Error::Calibration`] names `whose` activation it is.
    pub fn check(&self, whose: &str, width: u32, tables: Tables) -> Result<(), Error> {
        match self {
            ActivationFormat::Lookup { window, precision, .. } => {
                // The table holds the value, shifted by the low bits, in 32 bits with sign.
                let lo = window.bits - precision.k;
                at_most(&format!("{whose}activation's table"), window.bits + lo, 31)?;
                let drop = precision.slope_scale + lo - ACTIVATION;
                at_most(&format!("{whose}activation's ring"), width + drop, 64)?;
                if tables == Tables::Rows {
                    at_most("an activation's rows", window.bits - window.scale, MAX_ROWS)?;
                    at_most("an activation's row table", width + 16, 64)?;
                }
                Ok(())
            }
            ActivationFormat::Relu(width) => {
                at_most(&format!("{whose}compared activation's width"), *width, 25)
            }
            ActivationFormat::None => Ok(()),
        }
    }
}

/// How fine a table is.
#[derive(Clone, Copy)]
pub(crate) struct Fineness {
    /// Logarithm of the fewest pieces.
    least: u32,
    /// Fewest pieces for each unit of the argument.
    per_unit: f64,
}

/// Whether a constant of an activation is added by the bias of the matrix that reads it, so that what is looked up lies on both sides
/// of 0 and is opened in a bit less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Constant {
    /// It is looked up.
    LookedUp,
    /// The bias has it.
    InBias,
}

/// Of a group of channels that has a table of its own: tables of powers of two reach arguments of 1.25, 2.5, 5, .. as they were
/// calibrated. An error of 4e-4 on average where a function bends most.
pub(crate) const OF_A_GROUP: Fineness = Fineness { least: 5, per_unit: 12.8 };

/// Where there is one for all, which is finer than most channels need: 8e-4.
pub(crate) const OF_ALL: Fineness = Fineness { least: 7, per_unit: 9.0 };

/// Fractional bits of slopes over one piece: half as exact as values are enough, as a piece is met half its length from its start
/// at most times.
const SLOPE: u32 = ACTIVATION - 1;

/// The format of an activation whose argument has a range, with a table as fine as `of` says.
pub(crate) fn format(
    activation: Activation,
    range: Range,
    of: Fineness,
    constant: Constant,
) -> ActivationFormat {
    // The window is +-2^top; the stretch makes it exactly MARGIN bits wider than the range.
    let wide = range.size().max(0.5) * f64::from(1u32 << MARGIN);
    let top = bits(wide);
    let window = f64::from(1u32 << top);
    // Not less than that, or the widest window's values and slopes would not fit its table: where the range is a power of
    // two, the margin is 1 % less for it.
    let stretch = (window * 0.999 / wide).max(1.006);
    let lookup = |function, wide: f64| ActivationFormat::Lookup {
        function,
        window: Window::signed(ACTIVATION + top + 1, ACTIVATION),
        precision: Precision {
            k: logarithm_of_pieces(wide, of),
            value_scale: ACTIVATION,
            slope_scale: SLOPE,
        },
    };
    let unit = match activation {
        Activation::Gelu => Some(Unit::Gelu),
        Activation::GeluTanh => Some(Unit::GeluTanh),
        Activation::QuickGelu => Some(Unit::QuickGelu),
        Activation::Silu => Some(Unit::Silu),
        Activation::Tanh | Activation::Relu | Activation::None => None,
    };
    if let (Some(unit), Constant::InBias) = (unit, constant) {
        // A multiple of the unit, so that where a function is flat, as most channels are most times, it is looked up exactly.
        let one = f64::from(1u32 << ACTIVATION);
        let value = ((window / stretch + unit.least()) / 2.0 * one).round() / one;
        return lookup(Function::Less { unit, stretch, value }, wide);
    }
    match activation {
        Activation::Gelu => lookup(Function::Gelu { stretch }, wide),
        Activation::GeluTanh => lookup(Function::GeluTanh { stretch }, wide),
        Activation::QuickGelu => lookup(Function::QuickGelu { stretch }, wide),
        Activation::Silu => lookup(Function::Silu, window),
        Activation::Tanh => lookup(Function::Tanh, window),
        Activation::Relu => ActivationFormat::Relu(liftable(range, ACTIVATION)),
        Activation::None => ActivationFormat::None,
    }
}

/// Logarithm of the pieces of a table of the arguments up to `wide`. More than 2^11 of them would dominate the offline bytes.
fn logarithm_of_pieces(wide: f64, of: Fineness) -> u32 {
    bits(2.0 * wide * of.per_unit).clamp(of.least, 11)
}

/// The same of a group's arguments that were seen in `range`, which a format rounds.
pub(crate) fn pieces(range: Range) -> u32 {
    logarithm_of_pieces(range.rounded().size().max(0.5) * f64::from(1u32 << MARGIN), OF_A_GROUP)
}

/// The activation of a product, in a ring of `width` bits at the scale [`ACTIVATION`].
///
/// # Panics
/// Where there is none: its products are one.
pub fn trace(
    t: &mut Trace,
    format: &ActivationFormat,
    tables: Tables,
    x: Wire,
    width: u32,
) -> Wire {
    let x = t.truncate_to(x, ACTIVATION);
    match *format {
        ActivationFormat::Lookup { function, window, precision } => {
            let x = t.open_window(x, window);
            let y = match tables {
                Tables::Pieces => {
                    let y = t.lookup(x, function, precision);
                    let drop = t.spec(y).scale - ACTIVATION;
                    t.lift(y, width + drop)
                }
                Tables::Rows => {
                    // Cubics on rows of length one.
                    let m = window.bits - window.scale;
                    t.row_table(x, function, Rows { m, degree: 3, value_scale: 14 }, width + 16)
                }
            };
            t.truncate_to(y, ACTIVATION)
        }
        ActivationFormat::Relu(opened) => {
            let x = t.open_signed(x, opened);
            t.relu(x, width)
        }
        ActivationFormat::None => panic!("an activation that is none is not traced"),
    }
}
