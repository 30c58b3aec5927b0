//! ViT, and the names that DeiT took over.

use sotto_models::model::{Place, Pool};

use crate::{
    error::Error,
    given::Given,
    picture,
    recipe::{Names, Recipe, sources},
    resize::Kernel,
    stack, text, vision,
};

pub(super) const NAMES: &Names = &[
    ("patch_embed", &["embeddings.patch_embeddings.projection"]),
    ("blocks.N.norm1", &["encoder.layer.N.layernorm_before"]),
    (
        "blocks.N.attn.qkv",
        &[
            "encoder.layer.N.attention.attention.query",
            "encoder.layer.N.attention.attention.key",
            "encoder.layer.N.attention.attention.value",
        ],
    ),
    ("blocks.N.attn.proj", &["encoder.layer.N.attention.output.dense"]),
    ("blocks.N.norm2", &["encoder.layer.N.layernorm_after"]),
    ("blocks.N.mlp.fc1", &["encoder.layer.N.intermediate.dense"]),
    ("blocks.N.mlp.fc2", &["encoder.layer.N.output.dense"]),
    ("norm", &["layernorm"]),
];
const HEADS: &Names = &[("head", &["classifier"])];

pub(crate) fn recipe(given: &Given<'_>) -> Result<Recipe, Error> {
    let config = given.config;
    text::plain(config)?;
    let eps = config.number_or("layer_norm_eps", 1e-12)?;
    let mut stack = stack::read(config, &stack::BERT, Place::Before, eps)?;
    stack.qkv_bias = config.flag_or("qkv_bias", true)?;
    let preparation = picture::read(given.folder)?;
    let image = config.side("image_size")?;
    vision::same_size(&preparation, config, image)?;
    let pixels = vision::pixels(config, &preparation, image, 1)?;
    let grid = vision::grid(config, "image_size", image, pixels.patch)?;
    let mut notes = Vec::new();
    let output = match vision::classifies(given)? {
        true => vision::classes(given, "classifier", Pool::First, &mut notes)?,
        false => vision::embedding(given),
    };
    let mut recipe = vision::model(given, (pixels, preparation.framing), stack, output, notes);
    let prefix = given.prefix(&["vit.", ""], "embeddings.cls_token");
    recipe.sources.extend(sources(&recipe.model, NAMES, prefix));
    recipe.sources.extend(sources(&recipe.model, HEADS, ""));
    let lead = [(format!("{prefix}embeddings.cls_token"), 1, true)];
    let positions = format!("{prefix}embeddings.position_embeddings");
    vision::places(&mut recipe, &lead, positions, (grid, grid), Kernel::Plain);
    recipe.skip.extend(["pooler.*", "embeddings.mask_token"].map(|n| format!("{prefix}{n}")));
    recipe.skip.push("decoder.*".into());
    Ok(recipe)
}
