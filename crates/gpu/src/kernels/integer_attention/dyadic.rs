//! Numbers by which whole numbers are rescaled without leaving them.

/// `by / 2^shift`, with 15 bits of `by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dyadic {
    /// From 2^14 to 2^15.
    pub(super) by: u32,
    /// From 17 to 31.
    pub(super) shift: u32,
}

impl Dyadic {
    /// The nearest to a number from 2^-17 to 2^-2, within 2^-15 of it; `None` for another, which two words of 16 bits do not hold.
    pub fn near(x: f64) -> Option<Self> {
        let mut found =
            (17..=31).rev().map(|shift| (shift, (x * f64::from(1u32 << shift)).round()));
        // False for a NaN, too.
        let (shift, by) = found.find(|&(_, by)| (16384.0..32768.0).contains(&by))?;
        Some(Self { by: by as u32, shift })
    }

    /// The number.
    pub fn value(self) -> f64 {
        f64::from(self.by) / 2f64.powi(self.shift as i32)
    }

    /// `floor(x times the number + 1/2)`, within -128 to 127, of an x of up to 2^24 and by words of 32 bits alone.
    pub(super) fn rescale(self, x: i32) -> i32 {
        let low = ((x as u32 & 0xffff) * self.by) >> 16;
        let sum = (x >> 16) * self.by as i32 + low as i32 + (1 << (self.shift - 17));
        (sum >> (self.shift - 16)).clamp(-128, 127)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_32_bits_are_enough() {
        for x in [0.2499, 0.11, 1.0 / 128.0, 1.0 / 806.0, 3.3e-5, 7.7e-6] {
            let number = Dyadic::near(x).unwrap_or_else(|| panic!("{x}"));
            assert!((number.value() / x - 1.0).abs() <= 1.0 / 32768.0, "{x}: {number:?}");
            for i in (-(1 << 24)..=1 << 24).step_by(997).chain(-3000..3000) {
                let exact = (f64::from(i) * number.value() + 0.5).floor().clamp(-128.0, 127.0);
                assert_eq!(f64::from(number.rescale(i)), exact, "{i} by {number:?}");
            }
        }
        for x in [0.26, 7e-6, 0.0, -0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Dyadic::near(x), None, "{x}");
        }
    }
}
