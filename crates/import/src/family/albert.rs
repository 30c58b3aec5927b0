//! ALBERT: one layer's weights for all, narrow tables with a map behind them.

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
    ("embed.kind", &["embeddings.token_type_embeddings"]),
    ("embed.norm", &["embeddings.LayerNorm"]),
    ("embed.map", &["encoder.embedding_hidden_mapping_in"]),
    (
        "blocks.N.attn.qkv",
        &[
            "encoder.albert_layer_groups.0.albert_layers.0.attention.query",
            "encoder.albert_layer_groups.0.albert_layers.0.attention.key",
            "encoder.albert_layer_groups.0.albert_layers.0.attention.value",
        ],
    ),
    ("blocks.N.attn.proj", &["encoder.albert_layer_groups.0.albert_layers.0.attention.dense"]),
    ("blocks.N.norm1", &["encoder.albert_layer_groups.0.albert_layers.0.attention.LayerNorm"]),
    ("blocks.N.mlp.fc1", &["encoder.albert_layer_groups.0.albert_layers.0.ffn"]),
    ("blocks.N.mlp.fc2", &["encoder.albert_layer_groups.0.albert_layers.0.ffn_output"]),
    ("blocks.N.norm2", &["encoder.albert_layer_groups.0.albert_layers.0.full_layer_layer_norm"]),
    ("pool", &["pooler"]),
];
const HEADS: &Names = &[("head", &["classifier"])];

pub(crate) fn recipe(given: &Given<'_>) -> Result<Recipe, Error> {
    let config = given.config;
    text::refuse_variants(config)?;
    for field in ["num_hidden_groups", "inner_group_num"] {
        if config.size_or(field, 1)? != 1 {
            return Err(config.other(field, "1"));
        }
    }
    let eps = config.number_or("layer_norm_eps", 1e-12)?;
    let mut stack = stack::read(config, &stack::BERT, Place::After, eps)?;
    if config.value("hidden_act").is_none() {
        stack.activation.fill(Activation::GeluTanh);
    }
    stack.shared = true;
    let narrow = config.size_or("embedding_size", 128)?;
    if narrow == stack.width {
        let why = format!("= {narrow} = `hidden_size`; accepted: a narrower one");
        return Err(config.refuse("embedding_size", why));
    }
    let (width, kinds) = (stack.width, config.size_or("type_vocab_size", 2)?);
    let tables = text::Tables { kinds, width: narrow, first: 0 };
    let pooler = Hidden { width, activation: Activation::Tanh };
    let mut recipe = text::model(given, stack, &tables, pooler, "classifier")?;
    recipe.skip.extend(["predictions.*", "sop_classifier.*"].map(str::to_owned));
    let prefix = given.prefix(&["albert.", ""], "embeddings.word_embeddings.weight");
    let stored = config.size("max_position_embeddings")?;
    text::fill(&mut recipe, (prefix, NAMES), HEADS, (POSITIONS, 0), stored);
    Ok(recipe)
}
