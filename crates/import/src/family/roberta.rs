//! RoBERTa, XLM-RoBERTa, CamemBERT: BERT's names, positions that start behind the padding word's, a head of its own.

use sotto_models::{
    arch::Activation,
    model::{Hidden, Output, Place},
};

use super::bert::{NAMES, POSITIONS};
use crate::{
    error::Error,
    given::Given,
    recipe::{Names, Recipe},
    stack, text,
};

/// Of a whole text, and of each word.
const CLASSES: &Names = &[("pool", &["classifier.dense"]), ("head", &["classifier.out_proj"])];
const TOKENS: &Names = &[("head", &["classifier"])];

pub(crate) fn recipe(given: &Given<'_>) -> Result<Recipe, Error> {
    let config = given.config;
    text::refuse_variants(config)?;
    let eps = config.number_or("layer_norm_eps", 1e-5)?;
    let stack = stack::read(config, &stack::BERT, Place::After, eps)?;
    let (width, kinds) = (stack.width, config.size_or("type_vocab_size", 1)?);
    let first = config.size_or("pad_token_id", 1)? + 1;
    let tables = text::Tables { kinds, width, first };
    let hidden = Hidden { width, activation: Activation::Tanh };
    let whole = given.checkpoint.has("classifier.out_proj.weight");
    let classifier = if whole { "classifier.out_proj" } else { "classifier" };
    let mut recipe = text::model(given, stack, &tables, hidden, classifier)?;
    recipe.skip.push("lm_head.*".into());
    let prefix = given.prefix(&["roberta.", ""], "embeddings.word_embeddings.weight");
    let heads = if matches!(recipe.model.output, Output::Tokens { .. }) { TOKENS } else { CLASSES };
    let stored = config.size("max_position_embeddings")?;
    text::fill(&mut recipe, (prefix, NAMES), heads, (POSITIONS, first), stored);
    Ok(recipe)
}
