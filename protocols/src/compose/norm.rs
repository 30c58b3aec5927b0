//! Layer norm of a value whose rows have mean zero, three flights.
//!
//! Shapes: `(.., d)`. Scale: the input's. The mean is not computed: whoever writes the residual stream
//! centres it (the weights' owner folds `I - 1 1^T / d` into every writer), and scale and shift of
//! the norm are folded into the layer that reads the result.
//!
//! Flights: open `x` (narrow), open the row's sum of squares, open the lookup's pair; the last one's result
//! multiplies the already opened `x` in the same flight. Error: the lookup's relative error (below
//! `3 (h / v)^2 / 16` for pieces of length `h` at the sum `v`) and one unit of the scale.
//! Source: PROTOCOLS 1.11.

use crate::{
    functions::{Function, Window},
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
    /// Logarithm of the number of pieces of `1 / sqrt`.
    pub k: u32,
    /// Fractional bits of its slopes.
    pub slope_scale: u32,
}

impl NormFormat {
    /// Fractional bits of the factor, which the product adds to the input's scale: the result's ring is
    /// narrower than 64 bits by as many.
    pub fn factor_scale(&self) -> u32 {
        self.slope_scale + self.squares.bits - self.k
    }
}

impl Trace {
    /// `x / sqrt(mean(x^2) + epsilon)` by rows, as a share of `width` bits at the scale of `x`.
    pub fn layer_norm(&mut self, x: Wire, format: &NormFormat, epsilon: f64, width: u32) -> Wire {
        let spec = self.spec(x).clone();
        let scale = spec.scale;
        let d = *spec.shape.last().expect("a norm over an axis");
        let open = self.open_signed(x, format.width);
        let window = format.squares;
        let squares = self.square_sum(open, window.bits + 2 * scale - window.scale);
        let squares = self.truncate_to(squares, window.scale);
        let squares = self.open_window(squares, window);
        // Below two pieces the line through the pole would not be bounded.
        let piece = f64::from(1u32 << (window.bits - format.k)) / f64::from(window.scale).exp2();
        let root =
            Function::InverseRoot { count: d as f64, epsilon, floor: 2.0 * piece / d as f64 };
        let wide = width + format.factor_scale();
        let factor = self.row_lookup(squares, root, format.k, format.slope_scale, wide);
        let y = self.product(open, factor, wide);
        self.truncate_to(y, scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn normalises_within_the_bound_in_three_flights() {
        let (rows, d) = (50, 64);
        let format =
            NormFormat { width: 20, squares: Window::positive(18, 7), k: 13, slope_scale: 11 };
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
}
