//! The public description of a transformer: an input, a stack of layers, an output. A family of models (BERT, ViT, ..)
//! is an importer that writes one of these; nothing here knows families.
//!
//! # Example
//! `arch.toml`, version 2, of a sentence encoder (its lists are shortened here):
//! ```toml
//! version = 2
//! name = "all-MiniLM-L6-v2"
//!
//! [input.words]
//! vocabulary = 30522
//! positions = 512
//! kinds = 2
//! width = 384
//! norm = true
//! table = "public"
//!
//! [stack]
//! layers = 6
//! heads = 12
//! width = 384
//! hidden = 1536
//! place = "after"
//! eps = 1e-12
//! qkv_bias = true
//! shared = false
//! attention = [["softmax", ..], ..]
//! activation = ["gelu", ..]
//!
//! [output.embedding]
//! pool = "mean"
//! normalise = true
//! ```

pub(crate) mod check;
mod file;
mod input;
mod tensors;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{
    Arch,
    kind::{Activation, Attention},
};
pub use input::{Input, Pixels, Table, Words};

/// A transformer without its weights.
///
/// The fields are plain so that importers and a search can write them; [`Model::validate`] says whether they make a model,
/// and [`Model::from_toml`] never returns one that does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What the model calls itself.
    pub name: String,
    /// Names of the classes; either none or one for each.
    pub labels: Vec<String>,
    /// What the client gives.
    pub input: Input,
    /// The layers.
    pub stack: Stack,
    /// What the client gets.
    pub output: Output,
}

/// Where the norms of a layer are, and what the residuals start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Place {
    /// ViT, DINOv2: `x += attention(norm1 x); x += mlp(norm2 x)`, and a norm after the last layer.
    Before,
    /// BERT: `x = norm1(x + attention(x)); x = norm2(x + mlp(x))`.
    After,
    /// MPCViT: `x += attention(norm1 x); x = norm2 x; x += mlp(x)`, and a norm after the last layer.
    Mpcvit,
}

/// Layers of one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// Number of layers.
    pub layers: usize,
    /// Attention heads of each layer.
    pub heads: usize,
    /// Width of a row.
    pub width: usize,
    /// Hidden width of each layer's MLP.
    pub hidden: usize,
    /// Where the norms are.
    pub place: Place,
    /// Added to the variance in every norm.
    pub eps: f32,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether all layers use the weights of layer 0 (ALBERT).
    #[serde(default)]
    pub shared: bool,
    /// The kind of each head: `layers` lists of `heads` kinds.
    pub attention: Vec<Vec<Attention>>,
    /// The activation of each layer's MLP.
    pub activation: Vec<Activation>,
}

/// Which rows of the last layer make the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pool {
    /// The first.
    First,
    /// The mean of a text's words, or of a picture's patches.
    Mean,
    /// The first beside the mean of the patches, which doubles the width; pictures only.
    FirstAndMean,
    /// The first beside the second (a distillation token), which doubles the width; pictures only.
    FirstTwo,
}

/// What the client gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Output {
    /// A number for each class of a picture or text.
    Classes(Classes),
    /// A number for each class of each word.
    Tokens {
        /// Number of classes.
        classes: usize,
    },
    /// The pooled row itself.
    Embedding {
        /// Which rows.
        pool: Pool,
        /// Whether the client scales it to length 1. It learns the length.
        normalise: bool,
    },
}

/// A number for each class of a picture or text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Number of classes; one for a score.
    pub classes: usize,
    /// Which rows.
    pub pool: Pool,
    /// A layer between the pooled row and the classes, such as BERT's pooler; with [`Pool::First`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
}

/// A layer before the classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hidden {
    /// Its width.
    pub width: usize,
    /// What follows its product.
    pub activation: Activation,
}

impl Stack {
    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.width / self.heads
    }
}

impl Output {
    /// Numbers in the result of a picture or text, or of each word; 0 for an embedding, which is as wide as the stack.
    pub fn classes(&self) -> usize {
        match self {
            Output::Classes(c) => c.classes,
            Output::Tokens { classes } => *classes,
            Output::Embedding { .. } => 0,
        }
    }

    /// Which rows make the result; `None` where each makes one.
    pub fn pool(&self) -> Option<Pool> {
        match self {
            Output::Classes(c) => Some(c.pool),
            Output::Embedding { pool, .. } => Some(*pool),
            Output::Tokens { .. } => None,
        }
    }
}

impl Model {
    /// Rows of a picture, or of the longest text.
    pub fn tokens(&self) -> usize {
        match &self.input {
            Input::Pixels(p) => p.tokens(),
            Input::Words(w) => w.positions,
        }
    }

    /// Rows of an input as the model reads it: a picture's, or the words of a text's rows.
    pub fn rows_of(&self, input: &[f32]) -> usize {
        match &self.input {
            Input::Pixels(p) => p.tokens(),
            Input::Words(_) => input.len() / self.stack.width,
        }
    }

    /// Number of weights in all.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// The name of a class, or its number where the classes have no names.
    pub fn label(&self, class: usize) -> String {
        match self.labels.get(class) {
            Some(label) => label.clone(),
            None => format!("class {class}"),
        }
    }

    /// The picture's description, of a model of pictures.
    pub fn pixels(&self) -> Option<&Pixels> {
        match &self.input {
            Input::Pixels(pixels) => Some(pixels),
            Input::Words(_) => None,
        }
    }

    /// Where the weights of a layer are: `blocks.3`, or `blocks.0` of a stack that shares them.
    pub fn block(&self, layer: usize) -> String {
        format!("blocks.{}", if self.stack.shared { 0 } else { layer })
    }

    /// The layers that have each [`Model::block`] of weights: one each, or all of a stack that shares them.
    pub(crate) fn owners(&self) -> Vec<Vec<usize>> {
        let layers = 0..self.stack.layers;
        if self.stack.shared { vec![layers.collect()] } else { layers.map(|l| vec![l]).collect() }
    }
}

impl From<&Model> for Model {
    fn from(model: &Model) -> Self {
        model.clone()
    }
}

/// Added to the variance in the norms of MPCViT's models.
const NORM_EPS: f32 = 1e-5;

/// A description of version 1 is one of MPCViT's models.
impl From<&Arch> for Model {
    fn from(arch: &Arch) -> Self {
        Model {
            name: arch.name.clone(),
            labels: arch.labels.clone(),
            input: Input::Pixels(arch.pixels()),
            stack: Stack {
                layers: arch.layers,
                heads: arch.heads,
                width: arch.dim,
                hidden: arch.mlp,
                place: Place::Mpcvit,
                eps: NORM_EPS,
                qkv_bias: false,
                shared: false,
                attention: arch.attention.clone(),
                activation: arch.activation.clone(),
            },
            output: Output::Classes(Classes {
                classes: arch.classes,
                pool: Pool::First,
                hidden: None,
            }),
        }
    }
}
