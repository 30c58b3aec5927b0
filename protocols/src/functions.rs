//! The smooth functions that lookups tabulate, and the piecewise linear fit.

use crate::{encode, encode::Encode, spec::Spec};

/// A function that is about 0 far below 0 and about its argument far above: `y s(y)` with `s(y) + s(-y) = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `y Phi(y)`, exact (erf).
    Gelu,
    /// `y (1 + tanh(sqrt(2 / pi) (y + 0.044715 y^3))) / 2`: the GELU that some families mean.
    GeluTanh,
    /// `y / (1 + e^(-1.702 y))`: the GELU that others mean.
    QuickGelu,
    /// `y / (1 + e^-y)`.
    Silu,
}

impl Unit {
    /// The least value, to a thousandth.
    pub fn least(self) -> f64 {
        match self {
            Unit::Gelu | Unit::GeluTanh => -0.170,
            Unit::QuickGelu => -0.163,
            Unit::Silu => -0.278,
        }
    }

    /// The value at `y`.
    pub fn at(self, y: f64) -> f64 {
        let sigmoid = |y: f64| 1.0 / (1.0 + (-y).exp());
        match self {
            Unit::Gelu => 0.5 * y * (1.0 + libm::erf(y / std::f64::consts::SQRT_2)),
            Unit::GeluTanh => {
                let root = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
                0.5 * y * (1.0 + libm::tanh(root * (y + 0.044715 * y * y * y)))
            }
            Unit::QuickGelu => y * sigmoid(1.702 * y),
            Unit::Silu => y * sigmoid(y),
        }
    }
}

/// A function of one real variable. Public: part of the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Function {
    /// `y Phi(y)`, exact (erf), of `y = x / stretch`: the stretch makes a window of a power of two fit the
    /// argument's range; its owner folds it into the weights before.
    Gelu {
        /// How many times larger the argument is than the activation's.
        stretch: f64,
    },
    /// `y (1 + tanh(sqrt(2 / pi) (y + 0.044715 y^3))) / 2` of `y = x / stretch`: the GELU that some families mean.
    GeluTanh {
        /// As for [`Function::Gelu`].
        stretch: f64,
    },
    /// `y / (1 + e^(-1.702 y))` of `y = x / stretch`: the GELU that others mean.
    QuickGelu {
        /// As for [`Function::Gelu`].
        stretch: f64,
    },
    /// A unit of `y = x / stretch` less a constant, which others add: numbers on both sides of 0 have a bit less.
    Less {
        /// The unit.
        unit: Unit,
        /// As for [`Function::Gelu`].
        stretch: f64,
        /// The constant.
        value: f64,
    },
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `tanh x`.
    Tanh,
    /// `x / (1 + e^-x)`.
    Silu,
    /// `1 / max(x, floor)`.
    Reciprocal {
        /// Smaller arguments give the value here.
        floor: f64,
    },
    /// `1 / sqrt(max(x / count + epsilon, floor))`: `x` is a sum of `count` squares.
    InverseRoot {
        /// Number of summands.
        count: f64,
        /// Added to the mean.
        epsilon: f64,
        /// Smaller means give the value here.
        floor: f64,
    },
}

impl Function {
    /// The value at `x`.
    pub fn at(self, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match self {
            Function::Gelu { stretch } => Unit::Gelu.at(x / stretch),
            Function::GeluTanh { stretch } => Unit::GeluTanh.at(x / stretch),
            Function::QuickGelu { stretch } => Unit::QuickGelu.at(x / stretch),
            Function::Less { unit, stretch, value } => unit.at(x / stretch) - value,
            Function::Sigmoid => sigmoid(x),
            Function::Tanh => x.tanh(),
            Function::Silu => Unit::Silu.at(x),
            Function::Reciprocal { floor } => 1.0 / x.max(floor),
            Function::InverseRoot { count, epsilon, floor } => {
                1.0 / (x / count + epsilon).max(floor).sqrt()
            }
        }
    }
}

impl Encode for Function {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Function::Gelu { stretch } => (0u8, stretch).encode(out),
            Function::Sigmoid => 1u8.encode(out),
            Function::Tanh => 2u8.encode(out),
            Function::Silu => 3u8.encode(out),
            Function::Reciprocal { floor } => (4u8, floor).encode(out),
            Function::InverseRoot { count, epsilon, floor } => {
                (5u8, [count, epsilon, floor]).encode(out);
            }
            Function::GeluTanh { stretch } => (6u8, stretch).encode(out),
            Function::QuickGelu { stretch } => (7u8, stretch).encode(out),
            Function::Less { unit, stretch, value } => {
                (8u8, (*unit as u8, [*stretch, *value])).encode(out);
            }
        }
    }
}

/// A window of the fixed-point line that a table covers: index `i` of `2^bits` stands for the real
/// number `(low + i) / 2^scale`. Zero need not lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bits of the index.
    pub bits: u32,
    /// Its low end.
    pub low: i64,
    /// Fractional bits of the argument.
    pub scale: u32,
}

encode!(Window { bits, low, scale });

impl Window {
    /// `[-2^(bits-1-scale), 2^(bits-1-scale))`.
    pub fn signed(bits: u32, scale: u32) -> Self {
        Self { bits, low: -1 << (bits - 1), scale }
    }

    /// `[0, 2^(bits-scale))`.
    pub fn positive(bits: u32, scale: u32) -> Self {
        Self { bits, low: 0, scale }
    }

    /// The window in which a value is open.
    ///
    /// # Panics
    /// When it is not.
    pub fn opened(spec: &Spec) -> Self {
        let (bits, offset) = spec.opened();
        // An offset is a number mod 2^64, whose negative is the low end as a signed one.
        Self { bits, low: offset.wrapping_neg() as i64, scale: spec.scale }
    }

    /// What is added to a value to get its index, mod 2^64.
    pub fn offset(&self) -> u64 {
        self.low.wrapping_neg() as u64
    }
}

/// How a line is fitted to a function around its piece's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The chord's slope and the intercept that balances the largest errors: `f'' h^2 / 4` at most, on one side where a piece is met
    /// most often.
    Largest,
    /// The least squares of the errors as they are met: no bias, a standard deviation of `0.1 f'' h^2`, at most `0.42 f'' h^2`.
    Mean,
}

impl Fit {
    /// Value and slope over one piece, from samples in steps of a 16th from one piece before the start to one behind.
    fn line(self, samples: &[f64; 33]) -> (f64, f64) {
        let placed = (-16i32..).zip(samples);
        match self {
            Fit::Largest => {
                let rise = (samples[32] - samples[0]) / 2.0;
                let errors = placed.map(|(t, s)| s - rise * (f64::from(t) / 16.0));
                let ends = (f64::MAX, f64::MIN);
                let (low, high) = errors.fold(ends, |(l, h), e: f64| (l.min(e), h.max(e)));
                ((low + high) / 2.0, rise)
            }
            Fit::Mean => placed.fold((0.0, 0.0), |(value, slope), (t, s)| {
                // The sums of the weights, and of these times t^2, are 256 and 10,880.
                let weight = f64::from(16 - t.abs());
                (value + weight * s / 256.0, slope + weight * f64::from(t) * s * 16.0 / 10_880.0)
            }),
        }
    }
}

/// Fits `function` on `window` with `2^k` lines and gives value and slope of one piece after the other.
///
/// Piece `h` is `value + slope d / 2^lo` for the distance `d` from its start, good for `d` in `(-2^lo, 2^lo)`, so
/// that a borrow from the index's low bits needs no correction. Values have the scale `value_scale`, slopes
/// (over one piece) `slope_scale`.
///
/// Which of two pieces an argument is read from is the mask's coin: a piece is met at the distance `d` with a chance that falls
/// from its start to nothing at either end. For pieces of length `h` the error of either fit is, beside half a unit of each scale,
/// as [`Fit`] says.
pub fn pieces(
    function: Function,
    window: Window,
    k: u32,
    [value_scale, slope_scale]: [u32; 2],
    fit: Fit,
) -> impl Iterator<Item = (i64, i64)> {
    let unit = (-f64::from(window.scale)).exp2();
    let step = f64::from(window.bits - k).exp2() / 16.0;
    let sample = move |i: i64| function.at((i as f64 * step + window.low as f64) * unit);
    // A piece's two-piece window in steps of a 16th; its second half is the first of the next one's.
    let mut samples: [f64; 33] = std::array::from_fn(|i| sample(i as i64 - 32));
    (0..1i64 << k).map(move |h| {
        samples.copy_within(16.., 0);
        for (t, s) in (1..).zip(&mut samples[17..]) {
            *s = sample(16 * h + t);
        }
        let (value, slope) = fit.line(&samples);
        let fixed = |x: f64, scale: u32| (x * f64::from(scale).exp2()).round() as i64;
        (fixed(value, value_scale), fixed(slope, slope_scale))
    })
}

/// The smallest opened width that holds every signed number up to `bound` in size and can be lifted.
pub fn signed_width(bound: u64) -> u32 {
    64 - bound.leading_zeros() + 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::Kind;

    #[test]
    fn gelu_pieces_meet_the_bound() {
        let window = Window::signed(17, 12);
        let gelu = Function::Gelu { stretch: 1.0 };
        let pieces: Vec<(i64, i64)> = pieces(gelu, window, 9, [12, 12], Fit::Mean).collect();
        let (mut worst, mut bias): (f64, f64) = (0.0, 0.0);
        for i in 256..(1i64 << 17) - 256 {
            let x = (i - (1 << 16)) as f64 / 4096.0;
            let (h, d) = ((i >> 8) as usize, (i & 255) as f64 / 256.0);
            // A low part of d borrows with chance d.
            for (h, d, chance) in [(h, d, 1.0 - d), (h + 1, d - 1.0, d)] {
                let y = (pieces[h].0 as f64 + pieces[h].1 as f64 * d) / 4096.0;
                worst = worst.max((y - gelu.at(x)).abs());
                if x.abs() < 1.0 {
                    bias += chance * (y - gelu.at(x)) / 8192.0;
                }
            }
        }
        assert!(worst < 1.55e-3, "GELU k=9 on +-16: {worst}");
        // The line of the least largest error would be 3.5e-4 too high on average.
        assert!(bias.abs() < 2e-5, "GELU k=9 on +-1: {bias}");
    }

    const SMOOTH: [Function; 7] = [
        Function::Less { unit: Unit::Gelu, stretch: 1.0, value: 4.0 },
        Function::Gelu { stretch: 1.0 },
        Function::GeluTanh { stretch: 1.0 },
        Function::QuickGelu { stretch: 1.0 },
        Function::Sigmoid,
        Function::Tanh,
        Function::Silu,
    ];

    proptest! {
        /// A piece is the function around its own place, wherever the window lies.
        #[test]
        fn pieces_lie_where_their_window_does(
            low in -200_000i64..200_000, bits in 9u32..16, k in 4u32..8, which in 0usize..7,
        ) {
            let (window, function) = (Window { bits, low, scale: 12 }, SMOOTH[which]);
            let length = f64::from(bits - k).exp2() / 4096.0;
            // The functions bend by less than 0.86 (QuickGelu at 0); values and slopes are rounded to 2^-16.
            for (fit, share) in [(Fit::Largest, 0.215), (Fit::Mean, 0.37)] {
                let bound = share * length * length + 1.6e-5;
                for (h, (value, slope)) in (0..).zip(pieces(function, window, k, [16, 16], fit)) {
                    for d in [-1.0, -0.5, 0.0, 0.5, 1.0] {
                        let x = low as f64 / 4096.0 + (f64::from(h) + d) * length;
                        let error = (value as f64 + slope as f64 * d) / 65536.0 - function.at(x);
                        prop_assert!(error.abs() <= bound, "{function:?}({x}): {error}, {fit:?}");
                    }
                }
            }
        }

        /// An opening's offset and the window's low end are the same number.
        #[test]
        fn a_window_is_what_it_is_opened_in(low in any::<i64>(), bits in 1u32..=64, scale in 0u32..40) {
            let window = Window { bits, low, scale };
            let kind = Kind::Opened { width: bits, offset: window.offset() };
            let spec = Spec { kind, ..Spec::share(&[1], 64, scale) };
            prop_assert_eq!(Window::opened(&spec), window);
            prop_assert_eq!((low as u64).wrapping_add(window.offset()), 0);
        }
    }

    #[test]
    fn signed_widths() {
        assert_eq!(signed_width(0), 2);
        assert_eq!(signed_width(1), 3);
        assert_eq!(signed_width(255), 10);
        assert_eq!(signed_width(256), 11);
    }
}
