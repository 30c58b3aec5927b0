//! The intermediates of a forward pass, and who looks at them.

use std::fmt;

use crate::kind::Attention;

/// An intermediate of a forward pass, with N rows of width d in heads of width dh. Its name (`Display`) is what calibration
/// files use.
///
/// | tensor | name | what | shape |
/// |--|--|--|--|
/// | `Patches` | `patches` | the picture, one patch a row | N - lead, channels patch^2 |
/// | `Embed` | `embed` | what enters the stack | N d |
/// | `Norm(_, Centred)` | `ln1.centred`, `ln2.centred`, `norm.centred` | x - mean x | N d |
/// | `Norm(_, Var)` | `ln1.var`, .. | variance, without the epsilon | N |
/// | `Norm(_, Out)` | `ln1.out`, .. | after gain and offset | N d |
/// | `Query`, `Key`, `Value` | `q`, `k`, `v` | of all heads, unscaled | N d |
/// | `Head(kind, Scores)` | `softmax.scores`, .. | S = Q K^T / sqrt dh; not for linear heads with dh < N | N N |
/// | `Head(kind, KeyValue)` | `linear.kv` | K^T V, unscaled; only for linear heads with dh < N | dh dh |
/// | `Head(kind, RowMax)` | `softmax.row_max` | largest score of each row; only softmax | N |
/// | `Head(kind, RowSum)` | `softmax.row_sum`, .. | of exp(S - row max), or of relu(S) without the epsilon | N |
/// | `Head(kind, Unnormalised)` | `softmax.unnormalised`, .. | exp(S - row max) V, relu(S) V or S V | N dh |
/// | `Context` | `attn.out` | of all heads, normalised | N d |
/// | `Projected` | `proj.out` | projection of that | N d |
/// | `Residual1` | `residual1` | plus what the residual starts from | N d |
/// | `Hidden` | `fc1.out` | first product of the MLP | N mlp |
/// | `Active` | `act.out` | after the activation | N mlp |
/// | `Written` | `fc2.out` | second product of the MLP | N d |
/// | `Residual2` | `residual2` | plus what the residual starts from | N d |
/// | `Pool` | `pool.out` | product of the layer before the classes | rows, hidden |
/// | `Logits` | `logits` | the result | rows, classes |
///
/// The norm that the output reads is computed on the rows that the output reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Tensor {
    Patches,
    Embed,
    Norm(NormName, NormPart),
    Query,
    Key,
    Value,
    Head(Attention, HeadPart),
    Context,
    Projected,
    Residual1,
    Hidden,
    Active,
    Written,
    Residual2,
    Pool,
    Logits,
}

/// Which norm of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormName {
    /// That of attention: `ln1`.
    First,
    /// That of the MLP: `ln2`.
    Second,
    /// The one after the last layer: `norm`.
    Last,
}

/// An intermediate of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum NormPart {
    Centred,
    Var,
    Out,
}

/// An intermediate of one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum HeadPart {
    Scores,
    KeyValue,
    RowMax,
    RowSum,
    Unnormalised,
}

impl fmt::Display for NormName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NormName::First => "ln1",
            NormName::Second => "ln2",
            NormName::Last => "norm",
        })
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tensor::Norm(name, part) => {
                let part = match part {
                    NormPart::Centred => "centred",
                    NormPart::Var => "var",
                    NormPart::Out => "out",
                };
                return write!(f, "{name}.{part}");
            }
            Tensor::Head(kind, part) => {
                let part = match part {
                    HeadPart::Scores => "scores",
                    HeadPart::KeyValue => "kv",
                    HeadPart::RowMax => "row_max",
                    HeadPart::RowSum => "row_sum",
                    HeadPart::Unnormalised => "unnormalised",
                };
                return write!(f, "{}.{part}", kind.name());
            }
            Tensor::Patches => "patches",
            Tensor::Embed => "embed",
            Tensor::Query => "q",
            Tensor::Key => "k",
            Tensor::Value => "v",
            Tensor::Context => "attn.out",
            Tensor::Projected => "proj.out",
            Tensor::Residual1 => "residual1",
            Tensor::Hidden => "fc1.out",
            Tensor::Active => "act.out",
            Tensor::Written => "fc2.out",
            Tensor::Residual2 => "residual2",
            Tensor::Pool => "pool.out",
            Tensor::Logits => "logits",
        })
    }
}

/// Something that looks at every intermediate of a forward pass, such as a range recorder.
pub trait Probe {
    /// Called once for each intermediate, row-major, in the order of the computation; for a head's once a head.
    ///
    /// What precedes the first layer counts to layer 0, what follows the last to layer `layers`.
    fn see(&mut self, layer: usize, tensor: Tensor, values: &[f32]);
}

/// Two who look.
pub(crate) struct Both<'a>(pub &'a mut dyn Probe, pub &'a mut dyn Probe);

impl Probe for Both<'_> {
    fn see(&mut self, layer: usize, tensor: Tensor, values: &[f32]) {
        self.0.see(layer, tensor, values);
        self.1.see(layer, tensor, values);
    }
}

/// The probe that does not look.
pub struct NoProbe;

impl Probe for NoProbe {
    fn see(&mut self, _layer: usize, _tensor: Tensor, _values: &[f32]) {}
}
