//! The layers that models are made of, each in one file with all that reads it: float forward with probes, ranges to
//! widths, folding, private trace, names of weights.
//!
//! Every model here is the same walk, which its readers share: an embedding writes a stream `x`; each [`Sublayer`]
//! reads a norm `n` of it and writes `x = base + f(n)`, where the base is the stream itself or `n`; the head reads a last
//! norm of some rows. [`sublayers`] says which norm and which base, for each [`Place`] of the norms.

pub mod activation;
pub mod attention;
pub mod embedding;
pub mod head;
pub mod mlp;
pub mod norm;

use std::{fmt, str::FromStr};

use crate::{Model, model::Place};
use norm::Site;

/// What a sublayer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Attention and its projection.
    Attention,
    /// The MLP.
    Mlp,
}

/// What a residual starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The stream that the norm has read.
    Stream,
    /// The norm's result, which the matrix that reads it copies.
    Norm,
}

/// One residual step: `x = base + f(norm x)`.
#[derive(Clone, Copy, Debug)]
pub struct Sublayer {
    /// Its layer.
    pub layer: usize,
    /// What `f` is.
    pub kind: Kind,
    /// The norm that it reads; none where it reads the embedding as it is.
    pub norm: Option<Site>,
    /// What it is added to.
    pub base: Base,
}

/// The residual steps of a model, in their order.
pub fn sublayers(model: &Model) -> Vec<Sublayer> {
    let both = |layer: usize| {
        let (first, second) = (Site::First(layer), Site::Second(layer));
        let [(norm1, base1), (norm2, base2)] = match model.stack.place {
            Place::Before => [(Some(first), Base::Stream), (Some(second), Base::Stream)],
            Place::Mpcvit => [(Some(first), Base::Stream), (Some(second), Base::Norm)],
            // A norm after a step is the norm before the next one.
            Place::After => {
                let before = layer.checked_sub(1).map(Site::Second);
                [(before, Base::Norm), (Some(first), Base::Norm)]
            }
        };
        [
            Sublayer { layer, kind: Kind::Attention, norm: norm1, base: base1 },
            Sublayer { layer, kind: Kind::Mlp, norm: norm2, base: base2 },
        ]
    };
    (0..model.stack.layers).flat_map(both).collect()
}

/// The norm that the head reads.
pub fn last_norm(model: &Model) -> Site {
    let layers = model.stack.layers;
    match model.stack.place {
        Place::Before | Place::Mpcvit => Site::Last(layers),
        Place::After => Site::Second(layers - 1),
    }
}

/// A part of a plan, by which costs are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// The client's input.
    Input,
    /// The patches' product.
    Embedding,
    /// A norm of a layer.
    Norm(usize, Kind),
    /// What follows it.
    Step(usize, Kind),
    /// All after the last layer.
    Head,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Section::Input => f.write_str("input"),
            Section::Embedding => f.write_str("patch embedding"),
            Section::Norm(layer, Kind::Attention) => write!(f, "blocks.{layer}.norm1"),
            Section::Norm(layer, Kind::Mlp) => write!(f, "blocks.{layer}.norm2"),
            Section::Step(layer, Kind::Attention) => write!(f, "blocks.{layer}.attention"),
            Section::Step(layer, Kind::Mlp) => write!(f, "blocks.{layer}.mlp"),
            Section::Head => f.write_str("head"),
        }
    }
}

/// A section by its name.
impl FromStr for Section {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let part = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        let mut all = vec![Section::Input, Section::Embedding, Section::Head];
        if let Some(layer) = part.and_then(|(layer, _)| layer.parse().ok()) {
            for kind in [Kind::Attention, Kind::Mlp] {
                all.extend([Section::Norm(layer, kind), Section::Step(layer, kind)]);
            }
        }
        all.into_iter().find(|section| section.to_string() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_by_their_names() {
        let kinds = [Kind::Attention, Kind::Mlp];
        let steps = kinds.iter().flat_map(|&k| [Section::Norm(12, k), Section::Step(12, k)]);
        for section in steps.chain([Section::Input, Section::Embedding, Section::Head]) {
            assert_eq!(section.to_string().parse(), Ok(section));
        }
        for other in ["", "blocks.x.mlp", "blocks.1.no", "blocks.1", "Head"] {
            assert_eq!(other.parse::<Section>(), Err(()), "{other}");
        }
    }
}
