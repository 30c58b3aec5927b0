//! Attention: what happens between the heads' `Q`, `K`, `V` and their outputs, for each kind.
//!
//! Shapes: `Q`, `K`, `V` and the result are `(images, heads, tokens, head dim)`, where `Q` and the result may have fewer
//! tokens; all heads of one kind and
//! all images of a batch are one tensor. `1 / sqrt(d)`, and `log2 e` for softmax, are folded into `Q`'s
//! weights by their owner, so that scores come in base 2.
//!
//! | kind | result | flights |
//! |---|---|---|
//! | softmax, coarse maximum | `2^(S - m) V / sum 2^(S - m)` | 8 (9 from 128 tokens) |
//! | softmax, public maximum | the same with a calibrated `m` | 5 |
//! | ReLU-softmax | `max(S, 0) V / (sum max(S, 0) + epsilon)` | 6 |
//! | linear | `S V / N`, in the cheaper order | 3 |
//!
//! The division is deferred: `O = E V` is multiplied by `1 / sum` once a row.
//!
//! Keys may be hidden ([`Hidden`]): the client alone knows which. It inputs -1 for each of them, and a public multiple is
//! added to their scores, on shares, before these are opened: no gate, byte or flight more. What is opened is a score in its window under a mask
//! that is uniform over exactly its width, as without; so what either party sees does not depend on which keys are
//! hidden. Powers of a score that is [`Hidden::BELOW`] under the maximum are zero in the table, and so is ReLU's below zero.
//! A hidden key must score like a key that is not: then the sum stays in the window ([`ScoreFormat`]), and below the maximum.

use crate::{
    compose::row_max::MaxFormat,
    functions::{Function, Window},
    gates::exp::ExpFormat,
    plan::Trace,
    spec::Wire,
};

/// Powers that a score may exceed a public maximum by before its power saturates.
const PUBLIC_TOP: u32 = 2;

/// How the row maximum of a softmax is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Counting thresholds: exact for every input in range.
    Coarse(MaxFormat),
    /// A public constant at the score's scale; cheaper, but rows far below it lose precision.
    Public(i64),
}

/// Widths of softmax attention.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxFormat {
    /// Of the scores.
    pub scores: ScoreFormat,
    /// How the row maximum is found.
    pub shift: Shift,
    /// Powers of two above the maximum that the exponent's window holds: so far a score may exceed the maximum's own
    /// window. The powers saturate a unit above it.
    pub room: u32,
    /// Of the division.
    pub divide: DivideFormat,
}

/// Widths of the deferred division.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DivideFormat {
    /// Scale of `E`, and of its row sums.
    pub weight_scale: u32,
    /// Ring of the product `E V`, in which both are opened.
    pub product_width: u32,
    /// Window of the row sum.
    pub sum: Window,
    /// What every row sum grows by, in units of its window.
    pub added: i64,
    /// Logarithm of the number of pieces of `1 / x`.
    pub k: u32,
    /// Fractional bits of its slopes.
    pub slope_scale: u32,
    /// Smallest sum that is divided by exactly.
    pub floor: f64,
    /// Width and scale at which the unnormalised output is opened.
    pub output: (u32, u32),
}

/// Widths of one attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreFormat {
    /// Ring of the product `Q K^T`.
    pub product_width: u32,
    /// Width and scale at which scores are opened: of hidden keys' too, where there are some.
    pub score: (u32, u32),
}

/// Keys that count for nothing, which the client alone knows.
///
/// A wire of shape `(images, tokens)`: -1 for each of them, 0 for the others.
#[derive(Clone, Copy, Debug)]
pub struct Hidden(pub Wire);

impl Hidden {
    /// Powers of two by which a hidden key's score is lowered: the table of powers is zero from 20 below the maximum on,
    /// whatever its unit, its rounding and a public maximum's error, and the rest is for scores that rounding parts.
    pub const BELOW: u32 = 24;
}

/// Widths of linear attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearFormat {
    /// Ring of the first product.
    pub first_width: u32,
    /// Power of two by which the first product is divided.
    pub shift: u32,
    /// Width and scale at which the divided first product is opened to be lifted.
    pub middle: (u32, u32),
    /// Width at which the remaining operand is opened to be lifted.
    pub operand_width: u32,
}

impl Trace {
    /// Scores, those of hidden keys lowered by so many of their units.
    fn scores(
        &mut self,
        [q, k]: [Wire; 2],
        format: &ScoreFormat,
        hidden: Option<(Hidden, i64)>,
    ) -> Wire {
        let q = self.open(q, format.product_width, 0);
        let k = self.open(k, format.product_width, 0);
        let s = self.matmul(q, k, true);
        let s = self.truncate_to(s, format.score.1);
        match hidden {
            Some((Hidden(keys), lower)) => self.add_to_columns(s, keys, lower),
            None => s,
        }
    }

    /// Softmax attention in base 2; the result has scale `scale` in the ring `2^width`.
    pub fn softmax_attention(
        &mut self,
        [q, k, v]: [Wire; 3],
        format: &SoftmaxFormat,
        hidden: Option<Hidden>,
        (width, scale): (u32, u32),
    ) -> Wire {
        let (n, f) = format.scores.score;
        let hidden = hidden.map(|keys| (keys, i64::from(Hidden::BELOW) << f));
        let s = self.scores([q, k], &format.scores, hidden);
        // The window of the exponent is [room - 2^(n - f), room).
        let window = (1u64 << n) - (u64::from(format.room) << f);
        let (t, exp) = match &format.shift {
            Shift::Public(m) => {
                let s = self.add_constant(s, -m);
                (self.open(s, n, window), ExpFormat { span: 1, top: PUBLIC_TOP, head: 14 })
            }
            Shift::Coarse(format) => {
                let [s, m] = self.coarse_max(s, (n, 1 << (n - 1)), format);
                let m = self.open(m, n, 0);
                let top = format.unit_powers(n, f);
                let exp = ExpFormat { span: top, top, head: 15 - top };
                (self.opened_difference(s, m, window), exp)
            }
        };
        let e = self.exp2_below(t, exp);
        let divide = &format.divide;
        let lifted = divide.product_width + self.spec(e).scale - divide.weight_scale;
        let e = self.lift(e, lifted);
        let e = self.truncate_to(e, divide.weight_scale);
        self.weighted_mean(e, v, &format.divide, (width, scale))
    }

    /// ReLU-softmax attention.
    pub fn relu_attention(
        &mut self,
        [q, k, v]: [Wire; 3],
        (scores, divide): (&ScoreFormat, &DivideFormat),
        hidden: Option<Hidden>,
        (width, scale): (u32, u32),
    ) -> Wire {
        // A quarter of the opening's window is as large as any score that is not hidden, but for its sign.
        let hidden = hidden.map(|keys| (keys, 1 << (scores.score.0 - 3)));
        let s = self.scores([q, k], scores, hidden);
        let s = self.open_signed(s, scores.score.0);
        let lifted = divide.product_width + scores.score.1 - divide.weight_scale;
        let e = self.relu(s, lifted);
        let e = self.truncate_to(e, divide.weight_scale);
        self.weighted_mean(e, v, divide, (width, scale))
    }

    /// `E V / (row sums of E + added)`.
    fn weighted_mean(
        &mut self,
        e: Wire,
        v: Wire,
        format: &DivideFormat,
        (width, scale): (u32, u32),
    ) -> Wire {
        let sum = self.sum_last(e);
        let sum = self.truncate_to(sum, format.sum.scale);
        let sum = self.add_constant(sum, format.added);
        let sum = self.open_window(sum, format.sum);
        let factor_scale = format.slope_scale + format.sum.bits - format.k;
        let wide = width + format.output.1 + factor_scale - scale;
        let reciprocal = Function::Reciprocal { floor: format.floor };
        let factor = self.row_lookup(sum, reciprocal, format.k, format.slope_scale, wide);
        let e = self.open(e, format.product_width, 0);
        let v = self.open(v, format.product_width, 0);
        let o = self.matmul(e, v, false);
        let o = self.truncate_to(o, format.output.1);
        let o = self.open_signed(o, format.output.0);
        let o = self.product(o, factor, wide);
        self.truncate_to(o, scale)
    }

    /// Linear attention `(Q K^T) V / 2^shift`, in the order that opens fewer elements.
    ///
    /// The first product and the remaining operand are opened narrow, lifted, and opened again in the
    /// second product's ring: three flights, and no ring carries the bits of all three factors.
    pub fn linear_attention(
        &mut self,
        [q, k, v]: [Wire; 3],
        format: &LinearFormat,
        (width, scale): (u32, u32),
    ) -> Wire {
        // There may be fewer queries than keys.
        let shape = self.spec(k).shape.clone();
        let by_features = shape[3] < shape[2];
        let first = if by_features {
            let kt = self.permute(k, &[0, 1, 3, 2]);
            self.first_product(kt, v, false, format)
        } else {
            self.first_product(q, k, true, format)
        };
        let wide = width + format.middle.1;
        let first = self.widen(first, format.middle.0, wide);
        let other = if by_features { q } else { v };
        let other = self.widen(other, format.operand_width, wide);
        let product = match by_features {
            true => self.matmul(other, first, false),
            false => self.matmul(first, other, false),
        };
        self.truncate_to(product, scale)
    }

    /// `a b / 2^shift`, truncated to the middle's scale.
    fn first_product(&mut self, a: Wire, b: Wire, transposed: bool, format: &LinearFormat) -> Wire {
        let a = self.open(a, format.first_width, 0);
        let b = self.open(b, format.first_width, 0);
        let product = self.matmul(a, b, transposed);
        // Dividing by a power of two is reading the integer at a larger scale.
        let scale = self.spec(product).scale + format.shift;
        let product = self.rescale(product, scale);
        self.truncate_to(product, format.middle.1)
    }

    /// Opens `x` narrow, lifts it and opens it for a product in the ring `2^wide`.
    fn widen(&mut self, x: Wire, narrow: u32, wide: u32) -> Wire {
        let x = self.open_signed(x, narrow);
        let x = self.lift(x, wide);
        self.open(x, wide, 0)
    }
}
