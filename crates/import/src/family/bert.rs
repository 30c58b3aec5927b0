//! BERT: MiniLM, BGE, E5 and most encoders of sentences.

use sotto_models::{
    arch::Activation,
    model::{Hidden, Place},
};

use crate::{
    error::Error,
    given::Given,
    recipe::{Names, Recipe},
    stack, text,
};

pub(super) const NAMES: &Names = &[
    ("embed.word", &["embeddings.word_embeddings"]),
    ("embed.kind", &["embeddings.token_type_embeddings"]),
    ("embed.norm", &["embeddings.LayerNorm"]),
    (
        "blocks.N.attn.qkv",
        &[
            "encoder.layer.N.attention.self.query",
            "encoder.layer.N.attention.self.key",
            "encoder.layer.N.attention.self.value",
        ],
    ),
    ("blocks.N.attn.proj", &["encoder.layer.N.attention.output.dense"]),
    ("blocks.N.norm1", &["encoder.layer.N.attention.output.LayerNorm"]),
    ("blocks.N.mlp.fc1", &["encoder.layer.N.intermediate.dense"]),
    ("blocks.N.mlp.fc2", &["encoder.layer.N.output.dense"]),
    ("blocks.N.norm2", &["encoder.layer.N.output.LayerNorm"]),
    ("pool", &["pooler.dense"]),
];
const HEADS: &Names = &[("head", &["classifier"])];
/// Positions, which may be cut.
pub(super) const POSITIONS: &str = "embeddings.position_embeddings.weight";

pub(crate) fn recipe(given: &Given<'_>) -> Result<Recipe, Error> {
    let config = given.config;
    text::refuse_variants(config)?;
    let eps = config.number_or("layer_norm_eps", 1e-12)?;
    let stack = stack::read(config, &stack::BERT, Place::After, eps)?;
    let (width, kinds) = (stack.width, config.size_or("type_vocab_size", 2)?);
    let tables = text::Tables { kinds, width, first: 0 };
    let pooler = Hidden { width, activation: Activation::Tanh };
    let mut recipe = text::model(given, stack, &tables, pooler, "classifier")?;
    recipe.skip.push("cls.*".into());
    let prefix = given.prefix(&["bert.", ""], "embeddings.word_embeddings.weight");
    let stored = config.size("max_position_embeddings")?;
    text::fill(&mut recipe, (prefix, NAMES), HEADS, (POSITIONS, 0), stored);
    Ok(recipe)
}
