//! Layer norm of each row: `gain (x - mean) / sqrt(variance + eps) + offset`, the variance over the row's count.
//!
//! On a card, a warp has a row in its registers where rows are whole 16 bytes (`rows.cu`).
//!
//! Shapes: x is rows x width, gain and offset width. Of the rows, `take` alone are normed; the result is theirs.

use std::ops::Range;

use crate::{
    host,
    kernel::{Code, Kernel, Language, Operand},
    precision::Precision,
};

/// A layer norm.
#[derive(Clone, Debug)]
pub struct Norm {
    /// Rows of x.
    pub rows: usize,
    /// Columns.
    pub width: usize,
    /// Which rows are normed.
    pub take: Range<usize>,
    /// Added to the variance.
    pub eps: f32,
}

/// Invocations that share a row.
const LANES: usize = 64;

impl Norm {
    /// Whether a warp takes a row on a card: 16 bytes at a time, all of them in registers.
    fn by_warps(&self, precision: Precision) -> bool {
        let together = 16 / precision.width();
        self.width.is_multiple_of(together) && self.width <= 8 * 32 * together
    }
}

impl Kernel for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn operands(&self) -> Vec<Operand> {
        vec![
            Operand {
                name: "x",
                numbers: self.rows * self.width,
                read: self.output(),
                shared: false,
            },
            Operand::weights("gain", self.width),
            Operand::weights("offset", self.width),
        ]
    }

    fn output(&self) -> usize {
        self.take.len() * self.width
    }

    fn operations(&self) -> u64 {
        // Sum; difference, square, sum; two products, a sum; and of each row two quotients, a sum, a root.
        (7 * self.output() + 4 * self.take.len()) as u64
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let n = self.width as f64;
        let rows = inputs[0].chunks_exact(self.width).skip(self.take.start);
        for (x, y) in rows.zip(out.chunks_exact_mut(self.width)) {
            let mean = x.iter().sum::<f64>() / n;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            let root = (variance + f64::from(self.eps)).sqrt();
            for (c, y) in y.iter_mut().enumerate() {
                *y = inputs[1][c] * (x[c] - mean) / root + inputs[2][c];
            }
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let x = &inputs[0][self.take.start * self.width..];
        host::norm(self.width, self.eps, x, [inputs[1], inputs[2]], out);
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let mut shape = (1, LANES);
        let (functions, body) = match language {
            Language::Wgsl => {
                (format!("const EPS = f32({:e});", self.eps), include_str!("kernel.wgsl"))
            }
            Language::Cuda(precision) if self.by_warps(precision) => {
                shape = (8, 8 * 32);
                (format!("constexpr float EPS = {:e}f;", self.eps), include_str!("rows.cu"))
            }
            Language::Cuda(_) => {
                (format!("constexpr float EPS = {:e}f;", self.eps), include_str!("kernel.cu"))
            }
        };
        let mut constants = vec![
            ("WIDTH", self.width),
            ("ROWS", self.rows),
            ("TAKEN", self.take.len()),
            ("FIRST", self.take.start),
            ("LANES", LANES),
            ("ALL", batch * self.take.len()),
        ];
        let (rows, threads) = shape;
        constants.push(("ROWS_OF_A_BLOCK", rows));
        // A dimension of a dispatch has 65,535 groups at most.
        let groups = (batch * self.take.len()).div_ceil(rows);
        let across = groups.min(1 << 15);
        let groups = [across, groups.div_ceil(across), 1];
        Code { constants, functions, bodies: vec![body], groups, threads, shared: 0 }
    }
}
