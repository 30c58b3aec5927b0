//! The stack of layers, as most families' config.json describe it.

use sotto_models::{
    arch::{Activation, Attention},
    model::{Place, Stack},
};

use crate::{config::Config, error::Error};

/// Names of the fields.
pub(crate) struct Fields {
    pub width: &'static str,
    pub layers: &'static str,
    pub heads: &'static str,
    pub hidden: &'static str,
    pub activation: &'static str,
}

/// BERT's, which most took over.
pub(crate) const BERT: Fields = Fields {
    width: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    hidden: "intermediate_size",
    activation: "hidden_act",
};

/// Reads the stack; queries, keys and values have a bias.
///
/// # Errors
/// [`Error::Field`] for a field that is missing or out of what a description may hold.
pub(crate) fn read(config: &Config, f: &Fields, place: Place, eps: f64) -> Result<Stack, Error> {
    let activation = activation(config, f.activation)?;
    let sizes = [config.size(f.width)?, config.size(f.hidden)?];
    let (layers, heads) = (layers(config, f.layers)?, heads(config, f.heads)?);
    Ok(uniform(layers, heads, sizes, activation, place, eps))
}

/// A stack of equal layers of softmax attention.
pub(crate) fn uniform(
    layers: usize,
    heads: usize,
    [width, hidden]: [usize; 2],
    activation: Activation,
    place: Place,
    eps: f64,
) -> Stack {
    Stack {
        layers,
        heads,
        width,
        hidden,
        place,
        eps: eps as f32,
        qkv_bias: true,
        shared: false,
        attention: vec![vec![Attention::Softmax; heads]; layers],
        activation: vec![activation; layers],
    }
}

/// The number of layers.
pub(crate) fn layers(config: &Config, field: &str) -> Result<usize, Error> {
    within(config, field, 64)
}

/// The number of heads.
pub(crate) fn heads(config: &Config, field: &str) -> Result<usize, Error> {
    within(config, field, 256)
}

/// A size from which lists are made, so that it is bounded here.
fn within(config: &Config, field: &str, most: usize) -> Result<usize, Error> {
    let n = config.size(field)?;
    if (1..=most).contains(&n) {
        return Ok(n);
    }
    Err(config.refuse(field, format!("= {n}; accepted: 1 to {most}")))
}

/// An activation by the hub's name.
///
/// # Errors
/// [`Error::Field`] for one that we do not have; it lists those that we have.
pub(crate) fn activation(config: &Config, field: &str) -> Result<Activation, Error> {
    Ok(match config.text(field)?.unwrap_or("gelu") {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_accurate" => {
            Activation::GeluTanh
        }
        "quick_gelu" => Activation::QuickGelu,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        _ => {
            let accepted = "gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu, silu, tanh";
            return Err(config.other(field, accepted));
        }
    })
}
