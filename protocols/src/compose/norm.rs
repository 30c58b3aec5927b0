//! Layer norm of a value whose rows have mean zero, three flights.
//!
//! Shapes: `(.., d)`. Scale: the input's. The mean is not computed: whoever writes the residual stream
//! centres it (the weights' owner folds `I - 1 1^T / d` into every writer), and scale and shift of
//! the norm are folded into the layer that reads the result.
//!
//! Flights: open `x` (narrow), open the row's sum of squares, open the lookup's pair; the last one's result
//! multiplies the already opened `x` in the same flight. Error: [`NormFormat::relative_error`] and one unit of the
//! scale. Source: PROTOCOLS 1.11.
//!
//! Rows of unlike size (registers, attention sinks) have sums that no single table covers: its pieces have one length
//! `h`, and the line's error grows as `(h / v)^2` where the sum `v` is small. [`Bands`] cover them: the sum is opened
//! once, wide, and read at several places ([`Trace::opened_bits`]), each with a table of its own whose pieces are
//! longer. In a band below the row's own the sum does not fit and what is looked up is garbage; comparisons of the
//! sum with the bands' ends choose, exactly, the row's band. Five flights: the lookups run beside the comparisons, the
//! chosen factor is opened and multiplies `x`. What it costs beside a single table is bits by rows, none by elements.

use crate::{
    functions::{Function, Window},
    gates::compare::WIDEST,
    plan::Trace,
    spec::Wire,
};

/// Widths of a layer norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormFormat {
    /// Width at which the centred input is opened.
    pub width: u32,
    /// Window of the row's sum of squares.
    pub squares: Window,
    /// Logarithm of the number of pieces of `1 / sqrt`, in each band.
    pub k: u32,
    /// Fractional bits of its slopes.
    pub slope_scale: u32,
    /// Bands of the sum of squares, where one table does not do.
    pub bands: Option<Bands>,
}

/// Tables for sums of squares of unlike size. Each starts `k - 6` bits above the one before; the window has one bit more
/// than the last one needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bands {
    /// How many, at least two.
    pub count: u32,
    /// Fractional bits of the factor.
    pub factor_scale: u32,
}

/// Rows to be normalised: what a format has to cover.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// Elements of a row.
    pub count: f64,
    /// Their fractional bits.
    pub scale: u32,
    /// The least sum of squares.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

/// Logarithm of the pieces before the place from which the first band is good.
const LEAST: u32 = 5;
/// Bits by which bands overlap.
const OVERLAP: u32 = 6;
/// Bits below a band's end that decide whether a sum is beyond it: those from three quarters of the end on are, those
/// below a half, where the next one begins to be good, are not.
const END: u32 = 2;
/// Fractional bits to which the smallest factor is known in bands.
const PRECISION: i32 = 11;

impl NormFormat {
    /// Bands for these rows and others whose sums are a factor `2^margin` smaller or larger. The factor's scale has at most
    /// `room` bits. `None` where the rings do not reach so far, or the least sum is too few units of the scale.
    pub fn in_bands(width: u32, rows: &Rows, margin: u32, room: u32) -> Option<Self> {
        // Many short tables are small; few long ones are compared less.
        (11..=14).find_map(|k| Self::with_tables(k, width, rows, margin as i32, room))
    }

    fn with_tables(k: u32, width: u32, rows: &Rows, margin: i32, room: u32) -> Option<Self> {
        let least = rows.least.log2().floor() as i32;
        // More than five low bits are of no use to the sum's precision.
        let scale = (5 + LEAST as i32 + margin - least).clamp(0, 2 * rows.scale as i32);
        let lo = u32::try_from(least + scale - LEAST as i32).ok()?.min(5);
        let top = rows.most.log2().ceil() as i32 + margin + scale;
        let beyond = u32::try_from(top - (k + lo) as i32).ok()?;
        let count = 1 + beyond.div_ceil(k - OVERLAP);
        let bits = k + lo + (count - 1) * (k - OVERLAP) + 1;
        let smallest = ((rows.most / rows.count).log2() / 2.0).ceil() as i32 + margin / 2;
        let slope_scale = u32::try_from(smallest + PRECISION).ok()?;
        let factor_scale = slope_scale.min(room);
        let fits = lo > 0
            && count > 1
            && bits + 2 * rows.scale <= 64 + scale as u32
            && bits <= WIDEST + lo + k - END;
        fits.then_some(Self {
            width,
            squares: Window::positive(bits, scale as u32),
            k,
            slope_scale,
            bands: Some(Bands { count, factor_scale }),
        })
    }

    /// Bits of the distance from a piece's start.
    fn lo(&self) -> u32 {
        let above = self.bands.map_or(0, |b| 1 + (b.count - 1) * (self.k - OVERLAP));
        self.squares.bits - self.k - above
    }

    /// Fractional bits of the factor, which the product adds to the input's scale: the result's ring is
    /// narrower than 64 bits by as many.
    pub fn factor_scale(&self) -> u32 {
        self.bands.map_or(self.slope_scale + self.lo(), |b| b.factor_scale)
    }

    /// The most by which the factor of such rows differs from the inverse root, relatively: by the line over a piece of
    /// length `h` at the sum `v`, `3 (h / v)^2 / 16`; by a unit of the sum, halved by the root; and by the rounding of
    /// slopes and factors, which weighs most where the factor is smallest. Below two pieces the line ends: the error is 1.
    pub fn relative_error(&self, rows: &Rows) -> f64 {
        let unit = (-f64::from(self.squares.scale)).exp2();
        let piece = f64::from(self.lo()).exp2();
        // At a sum of so many pieces.
        let line = |pieces: f64| match pieces < 2.0 {
            true => 1.0,
            false => 3.0 / 16.0 / (pieces * pieces) + 1.0 / (pieces * piece),
        };
        let least = line(rows.least / unit / piece);
        let units = |scale: u32| (-f64::from(scale)).exp2() * (rows.most / rows.count).sqrt();
        match self.bands {
            None => least + (units(self.slope_scale) + units(self.factor_scale())) / 2.0,
            // A later band is entered at half of the end of the one before, or later.
            Some(bands) => {
                let later = line(f64::from(1u32 << (OVERLAP - 1)));
                least.max(later) + units(self.slope_scale) / 2.0 + units(bands.factor_scale)
            }
        }
    }
}

impl Trace {
    /// `x / sqrt(mean(x^2) + epsilon)` by rows, as a share of `width` bits at the scale of `x`.
    pub fn layer_norm(&mut self, x: Wire, format: &NormFormat, epsilon: f64, width: u32) -> Wire {
        let spec = self.spec(x).clone();
        let scale = spec.scale;
        let count = *spec.shape.last().expect("a norm over an axis") as f64;
        let open = self.open_signed(x, format.width);
        let window = format.squares;
        let squares = self.square_sum(open, window.bits + 2 * scale - window.scale);
        let squares = self.truncate_to(squares, window.scale);
        let squares = self.open_window(squares, window);
        let wide = width + format.factor_scale();
        let factor = match format.bands {
            None => {
                let piece = f64::from(1u32 << format.lo()) / f64::from(window.scale).exp2();
                let root = root(count, epsilon, piece);
                self.row_lookup(squares, root, format.k, format.slope_scale, wide)
            }
            Some(bands) => self.banded_root(squares, format, bands, count, epsilon),
        };
        let y = self.product(open, factor, wide);
        self.truncate_to(y, scale)
    }

    /// The factor of rows whose opened sums of squares lie in any of the bands, opened.
    fn banded_root(
        &mut self,
        squares: Wire,
        format: &NormFormat,
        bands: Bands,
        count: f64,
        epsilon: f64,
    ) -> Wire {
        let (k, lo, step) = (format.k, format.lo(), format.k - OVERLAP);
        // A band reads the sum as an integer, in units of its own.
        let root = |band: u32| {
            let units = f64::from(format.squares.scale) - f64::from(step * band);
            root(count * units.exp2(), epsilon, f64::from(1u32 << lo))
        };
        // Garbage must cancel exactly, so it is kept in the whole ring.
        let width = 64;
        let factors: Vec<Wire> = (0..bands.count)
            .map(|band| {
                let bits = self.opened_bits(squares, step * band, k + lo, 0);
                self.row_lookup(bits, root(band), k, format.slope_scale, width)
            })
            .collect();
        let mut chosen = self.lift(factors[0], width);
        for (end, pair) in (k + lo..).step_by(step as usize).zip(factors.windows(2)) {
            let (from, bits) = (end - END, format.squares.bits);
            let beyond = self.opened_bits(squares, from, bits - from, 3);
            let beyond = self.non_negative(beyond);
            let below = self.product(pair[0], beyond, width);
            let below = self.negate(below);
            let above = self.product(pair[1], beyond, width);
            let change = self.sum(above, below);
            chosen = self.sum(chosen, change);
        }
        let chosen = self.truncate_to(chosen, bands.factor_scale);
        let largest = root(0).at(0.0).log2().ceil().max(0.0) as u32;
        self.open_signed(chosen, bands.factor_scale + largest + 3)
    }
}

/// `1 / sqrt` of a mean of `count` squares. Below two pieces, of this length as the sum is read, the line through the
/// pole would not be bounded.
fn root(count: f64, epsilon: f64, piece: f64) -> Function {
    Function::InverseRoot { count, epsilon, floor: 2.0 * piece / count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn normalises_within_the_bound_in_three_flights() {
        let (rows, d) = (50, 64);
        let squares = Window::positive(18, 7);
        let format = NormFormat { width: 20, squares, k: 13, slope_scale: 11, bands: None };
        let mut bench = Bench::new(40);
        let mut t = Trace::new();
        let x = t.input(&[rows, d], 20, 12);
        let y = t.layer_norm(x, &format, 1e-5, 40);
        let y = t.reveal(y, 40);
        let plan = t.finish(&[y]);
        assert_eq!(plan.online().flights, 4, "three and the reveal");
        let mut input = Vec::new();
        for r in 0..rows {
            let size = 0.7 + r as f64 * 0.08;
            let row: Vec<f64> = (0..d).map(|_| (bench.unit() - 0.5) * 3.4 * size).collect();
            let mean = row.iter().sum::<f64>() / d as f64;
            input.extend(row.iter().map(|x| ((x - mean) * 4096.0).round() as i64));
        }
        for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
            result.check_exact();
            for (x, y) in input.chunks(d).zip(result.outputs[0].chunks(d)) {
                let x: Vec<f64> = x.iter().map(|&x| x as f64 / 4096.0).collect();
                let var = x.iter().map(|x| x * x).sum::<f64>() / d as f64 + 1e-5;
                for (x, &y) in x.iter().zip(y) {
                    let error = (y as f64 / 4096.0 - x / var.sqrt()).abs();
                    assert!(error < 9e-4, "error {error}");
                }
            }
        }
    }

    /// Rows whose variances lie between 1e-6 and 1e6, in one norm.
    #[test]
    fn rows_of_any_size_are_normalised() {
        for (scale, d, least, most) in [
            (12, 64, 1e-6, 1e6),
            (12, 768, 1e-6, 1e6),
            (14, 16, 1e-6, 1e6),
            (12, 192, 0.04, 9e4),
            (12, 384, 4e-4, 10.0),
        ] {
            let rows =
                Rows { count: d as f64, scale, least: d as f64 * least, most: d as f64 * most };
            let top = (most.sqrt() * 4.0).log2().ceil() as u32;
            let format = NormFormat::in_bands(scale + top + 2, &rows, 2, 64).unwrap();
            let bound = format.relative_error(&rows);
            assert!(bound < 2.5e-3, "{bound} of {format:?}");
            let mut bench = Bench::new(41);
            let n = 40;
            let mut t = Trace::new();
            let x = t.input(&[n, d], format.width, scale);
            let width = 64 - format.factor_scale();
            let y = t.layer_norm(x, &format, 0.0, width);
            let y = t.reveal(y, width);
            let plan = t.finish(&[y]);
            assert_eq!(plan.online().flights, 6, "five and the reveal");
            let mut input = Vec::new();
            for r in 0..n {
                let size = (least * (most / least).powf(r as f64 / (n - 1) as f64)).sqrt();
                // Of variance 1 before and after the rounding, but for the smallest.
                let row: Vec<f64> = (0..d).map(|_| (bench.unit() - 0.5) * 12f64.sqrt()).collect();
                let mean = row.iter().sum::<f64>() / d as f64;
                let var = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
                let unit = size / var.sqrt() * f64::from(1u32 << scale);
                input.extend(row.iter().map(|x| ((x - mean) * unit).round() as i64));
            }
            // With a dealer and without.
            for result in bench.run_sources(&plan, Vec::new(), std::slice::from_ref(&input)) {
                result.check_exact();
                let one = f64::from(1u32 << scale);
                for (x, y) in input.chunks(d).zip(result.outputs[0].chunks(d)) {
                    let mean = x.iter().map(|&x| (x as f64).powi(2)).sum::<f64>() / d as f64;
                    for (&x, &y) in x.iter().zip(y) {
                        let (exact, y) = (x as f64 / mean.sqrt(), y as f64 / one);
                        let error = (y - exact).abs();
                        assert!(
                            error < bound * exact.abs() + 1.5 / one,
                            "{exact}: {y}; {format:?}"
                        );
                    }
                }
            }
        }
    }
}
