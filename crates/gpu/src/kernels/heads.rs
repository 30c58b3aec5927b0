//! Some heads of an attention, and what the kernels of any kind of them share.

use crate::kernel::{Language, Operand};

/// Some heads of an attention over rows of (queries, keys, values), each heads x dh wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Rows.
    pub rows: usize,
    /// Heads in all.
    pub heads: usize,
    /// Width of a head.
    pub dh: usize,
    /// The heads that a kernel computes.
    pub mine: Vec<usize>,
}

impl Heads {
    /// All of them.
    pub fn all(rows: usize, heads: usize, dh: usize) -> Self {
        Self { rows, heads, dh, mine: (0..heads).collect() }
    }

    /// Rows, heads, width of a head.
    pub(super) fn shape(&self) -> (usize, usize, usize) {
        (self.rows, self.heads, self.dh)
    }

    /// Queries, keys and values.
    pub(super) fn qkv(&self) -> Operand {
        let numbers = self.rows * 3 * self.heads * self.dh;
        Operand { name: "qkv", numbers, read: 3 * self.written(), shared: false }
    }

    /// Numbers of the result: rows x (heads x dh).
    pub(super) fn output(&self) -> usize {
        self.rows * self.heads * self.dh
    }

    /// Numbers of the result that are these heads' own.
    pub(super) fn written(&self) -> usize {
        self.rows * self.mine.len() * self.dh
    }

    /// Operations of these heads whose scores and weighed values are products, with `each` more for a score and `row` more for
    /// a row.
    pub(super) fn operations(&self, each: usize, row: usize) -> u64 {
        let scores = self.rows.pow(2);
        (self.mine.len() * (scores * (4 * self.dh + each) + self.rows * row)) as u64
    }

    /// The definition of heads that weigh values: `weights` of a head and a row are what each row's values count there, and
    /// `values` are a row's of a head.
    pub(super) fn weigh<'a>(
        &self,
        weights: impl Fn(usize, usize) -> Vec<f64>,
        values: impl Fn(usize, usize) -> &'a [f64],
        out: &mut [f64],
    ) {
        for &head in &self.mine {
            for row in 0..self.rows {
                let weights = weights(head, row);
                for c in 0..self.dh {
                    let sum = weights.iter().enumerate().map(|(j, p)| p * values(j, head)[c]);
                    out[(row * self.heads + head) * self.dh + c] = sum.sum();
                }
            }
        }
    }

    /// The function that says which head the n-th is.
    pub(super) fn head_of(&self, language: Language) -> String {
        let heads = self.mine.iter().enumerate();
        match language {
            Language::Wgsl => {
                let arms = heads.map(|(at, head)| format!("case {at}u: {{ return {head}u; }}\n"));
                let arms: String = arms.collect();
                format!(
                    "fn head_of(at: u32) -> u32 {{ switch at {{ {arms} default: {{ return 0u; }} }} }}\n"
                )
            }
            Language::Cuda(_) => {
                let arms: String =
                    heads.map(|(at, head)| format!("at == {at} ? {head}u : ")).collect();
                format!("DEVICE u32 head_of(u32 at) {{ return {arms} 0u; }}\n")
            }
        }
    }
}

/// What a kernel of the heads `self.of` reads and writes.
macro_rules! of_heads {
    () => {
        fn operands(&self) -> Vec<crate::kernel::Operand> {
            vec![self.of.qkv()]
        }

        fn output(&self) -> usize {
            self.of.output()
        }

        fn written(&self) -> usize {
            self.of.written()
        }
    };
}
pub(super) use of_heads;

/// A number in the code of a kernel.
pub(super) fn number(language: Language, name: &str, value: f32) -> String {
    match language {
        Language::Wgsl => format!("const {name} = f32({value:e});\n"),
        Language::Cuda(_) => format!("constexpr float {name} = {value:e}f;\n"),
    }
}

/// The part of a row that belongs to queries (0), keys (1) or values (2) of a head.
pub(super) fn part<T>(
    qkv: &[T],
    heads: usize,
    dh: usize,
    row: usize,
    which: usize,
    head: usize,
) -> &[T] {
    &qkv[((row * 3 + which) * heads + head) * dh..][..dh]
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
