//! DistilBERT: BERT without kinds and pooler, under names and fields of its own.

use sotto_models::{
    arch::Activation,
    model::{Hidden, Place},
};

use super::bert::POSITIONS;
use crate::{
    error::Error,
    given::Given,
    recipe::{Names, Recipe},
    stack, text,
};

const NAMES: &Names = &[
    ("embed.word", &["embeddings.word_embeddings"]),
    ("embed.norm", &["embeddings.LayerNorm"]),
    (
        "blocks.N.attn.qkv",
        &[
            "transformer.layer.N.attention.q_lin",
            "transformer.layer.N.attention.k_lin",
            "transformer.layer.N.attention.v_lin",
        ],
    ),
    ("blocks.N.attn.proj", &["transformer.layer.N.attention.out_lin"]),
    ("blocks.N.norm1", &["transformer.layer.N.sa_layer_norm"]),
    ("blocks.N.mlp.fc1", &["transformer.layer.N.ffn.lin1"]),
    ("blocks.N.mlp.fc2", &["transformer.layer.N.ffn.lin2"]),
    ("blocks.N.norm2", &["transformer.layer.N.output_layer_norm"]),
];
const HEADS: &Names = &[("pool", &["pre_classifier"]), ("head", &["classifier"])];
const FIELDS: stack::Fields = stack::Fields {
    width: "dim",
    layers: "n_layers",
    heads: "n_heads",
    hidden: "hidden_dim",
    activation: "activation",
};
/// It has no field for this.
const EPS: f64 = 1e-12;

pub(crate) fn recipe(given: &Given<'_>) -> Result<Recipe, Error> {
    let config = given.config;
    text::refuse_variants(config)?;
    let stack = stack::read(config, &FIELDS, Place::After, EPS)?;
    let width = stack.width;
    let tables = text::Tables { kinds: 0, width, first: 0 };
    let hidden = Hidden { width, activation: Activation::Relu };
    let mut recipe = text::model(given, stack, &tables, hidden, "classifier")?;
    recipe.skip.push("vocab_*".into());
    let prefix = given.prefix(&["distilbert.", ""], "embeddings.word_embeddings.weight");
    // Sinusoidal positions are stored like learned ones.
    let stored = config.size("max_position_embeddings")?;
    text::fill(&mut recipe, (prefix, NAMES), HEADS, (POSITIONS, 0), stored);
    Ok(recipe)
}
