//! Gated attention: `sigmoid(g) (A V)`, with a number g of each row and head, so that a head can leave a row as it is without
//! scores that grow for it. `A` is of any kind in [`Scores`](crate::Scores); the paper's is softmax.
//!
//! The gates' logits are linear in the row that queries, keys and values are made of: `g = w x + b`, of the head's own columns
//! of x in the paper (its `linear` gate), of all columns in its code's `attn_gate_linear_all_features`. So the product that makes
//! queries, keys and values makes them, too, in columns behind the values. The gates of the paper that are
//! small networks are not linear: they are not here.
//!
//! Source: Quantizable Transformers (arXiv 2306.12929), section 4.2, and its code (`bert_attention.py`, gates for each token).
//!
//! Tolerance: normwise 2e-6 in f32, 1.5e-3 in f16, 8e-3 in bf16; 1e-4 in f32 where scores are hundreds, which f32 rounds.
//!
//! Shapes: the operand is rows x (queries, keys, values, logits); the first three are heads x dh wide, the logits as many as heads,
//! filled up to whole eights, so that rows stay aligned. The result is that of [`Attention`], on tensor cores where that is.

use super::Attention;
use crate::kernel::{Code, Kernel, Language, Operand};

/// Attention of heads of any kinds, each with a gate.
#[derive(Clone, Debug)]
pub struct GatedAttention {
    /// The attention without gates.
    pub attention: Attention,
}

impl GatedAttention {
    /// Columns of the operand.
    pub fn width(&self) -> usize {
        let Attention { heads, dh, .. } = self.attention;
        3 * heads * dh + heads.next_multiple_of(8)
    }

    /// Queries, keys and values without logits.
    fn plain<T: Copy>(&self, x: &[T]) -> Vec<T> {
        let Attention { heads, dh, .. } = self.attention;
        x.chunks_exact(self.width()).flat_map(|row| row[..3 * heads * dh].to_vec()).collect()
    }

    /// Each number of the result that has a gate, and the gate's logit.
    fn gates(&self) -> impl Iterator<Item = (usize, usize)> {
        let Attention { rows, heads, dh, .. } = self.attention;
        let mine = self.attention.kinds.iter().map(|&(head, _)| head);
        mine.flat_map(move |head| (0..rows).map(move |row| (row, head))).flat_map(
            move |(row, head)| {
                let logit = row * self.width() + 3 * heads * dh + head;
                (0..dh).map(move |c| ((row * heads + head) * dh + c, logit))
            },
        )
    }
}

impl Kernel for GatedAttention {
    fn name(&self) -> &'static str {
        "gated attention"
    }

    fn operands(&self) -> Vec<Operand> {
        let Attention { rows, kinds, .. } = &self.attention;
        let read = 3 * self.written() + rows * kinds.len();
        vec![Operand { name: "qkv", numbers: rows * self.width(), read, shared: false }]
    }

    fn output(&self) -> usize {
        self.attention.output()
    }

    fn written(&self) -> usize {
        self.attention.written()
    }

    fn operations(&self) -> u64 {
        let Attention { rows, dh, kinds, .. } = &self.attention;
        // Exponential, sum, quotient; and a product of each number of the result.
        self.attention.operations() + (rows * kinds.len() * (3 + dh)) as u64
    }

    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]) {
        self.attention.definition(&[&self.plain(inputs[0])], out);
        self.gates().for_each(|(at, logit)| out[at] /= 1.0 + (-inputs[0][logit]).exp());
    }

    fn host(&self, inputs: &[&[f32]], out: &mut [f32]) {
        self.attention.host(&[&self.plain(inputs[0])], out);
        self.gates().for_each(|(at, logit)| out[at] /= 1.0 + (-inputs[0][logit]).exp());
    }

    fn code(&self, language: Language, batch: usize) -> Code {
        let gate = [include_str!("gate.wgsl"), include_str!("gate.cu")];
        self.attention.gated(language, batch, self.width(), gate)
    }
}
