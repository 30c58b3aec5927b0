//! The pooled row: the mean of the rows `over`, behind row 0 where `first` says so.
//!
//! Shapes: x is rows x width; the result is width, or 2 width.

use std::ops::Range;

use crate::kernel::{Code, Kernel, Language, Operand};

/// A mean over rows.
#[derive(Clone, Debug)]
pub struct Mean {
    /// Rows of x.
    pub rows: usize,
    /// Columns.
    pub width: usize,
    /// The rows whose mean it is.
    pub over: Range<usize>,
    /// Whether row 0 comes before the mean.
    pub first: bool,
}

/// Invocations of a workgroup, each with a column.
const LANES: usize = 64;

impl Kernel for Mean {
    fn name(&self) -> &'static str {
        "mean"
    }

    fn operands(&self) -> Vec<Operand> {
        let read = (self.over.len() + usize::from(self.first)) * self.width;
        vec![Operand { name: "x", numbers: self.rows * self.width, read, shared: false }]
    }

    fn output(&self) -> usize {
        (1 + usize::from(self.first)) * self.width
    }

    fn operations(&self) -> u64 {
        ((self.over.len() + 1) * self.width) as u64
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        let (first, mean) = out.split_at_mut(self.output() - self.width);
        first.copy_from_slice(&inputs[0][..first.len()]);
        for (c, y) in mean.iter_mut().enumerate() {
            let column = self.over.clone().map(|row| inputs[0][row * self.width + c]);
            *y = column.sum::<f64>() / self.over.len() as f64;
        }
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let (first, mean) = out.split_at_mut(self.output() - self.width);
        first.copy_from_slice(&inputs[0][..first.len()]);
        mean.fill(0.0);
        for row in self.over.clone() {
            let row = &inputs[0][row * self.width..][..self.width];
            mean.iter_mut().zip(row).for_each(|(y, x)| *y += x);
        }
        mean.iter_mut().for_each(|y| *y /= self.over.len() as f32);
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let body = match language {
            Language::Wgsl => include_str!("kernel.wgsl"),
            Language::Cuda(_) => include_str!("kernel.cu"),
        };
        let constants = vec![
            ("WIDTH", self.width),
            ("ROWS", self.rows),
            ("START", self.over.start),
            ("END", self.over.end),
            ("FIRST", usize::from(self.first)),
            ("LANES", LANES),
        ];
        let (groups, functions) = ([self.width.div_ceil(LANES), batch, 1], String::new());
        Code { constants, functions, bodies: vec![body], groups, threads: LANES, shared: 0 }
    }
}
