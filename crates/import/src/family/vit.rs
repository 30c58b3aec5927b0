//! ViT, and what DeiT took over of it.

use sotto_models::model::{Place, Pool};

use crate::{
    error::Error,
    given::Given,
    picture,
    recipe::{Names, Recipe, sources},
    resize::Kernel,
    stack, text, vision,
};

const NAMES: &Names = &[
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
    with_lead(given, "vit.", &["cls_token"], ("classifier", Pool::First))
}

/// A checkpoint under these names: `own` is the family's prefix, `lead` has the leading rows' tensors, and where it classifies,
/// `head` tells the classes of the rows that are pooled.
pub(super) fn with_lead(
    given: &Given<'_>,
    own: &'static str,
    lead: &[&str],
    (head, pool): (&str, Pool),
) -> Result<Recipe, Error> {
    let config = given.config;
    text::plain(config)?;
    let eps = config.number_or("layer_norm_eps", 1e-12)?;
    let mut stack = stack::read(config, &stack::BERT, Place::Before, eps)?;
    stack.qkv_bias = config.flag_or("qkv_bias", true)?;
    let preparation = picture::read(given.folder)?;
    let image = config.side("image_size")?;
    vision::same_size(&preparation, config, image)?;
    let pixels = vision::pixels(config, &preparation, image, lead.len())?;
    let grid = vision::grid(config, "image_size", image, pixels.patch)?;
    let mut notes = Vec::new();
    let output = match vision::classifies(given)? {
        true => vision::classes(given, head, pool, &mut notes)?,
        false => vision::embedding(given),
    };
    let mut recipe = vision::model(given, (pixels, preparation.framing), stack, output, notes)?;
    let prefix = given.prefix(&[own, ""], "embeddings.cls_token");
    recipe.sources.extend(sources(&recipe.model, NAMES, prefix));
    recipe.sources.extend(sources(&recipe.model, HEADS, ""));
    let lead: Vec<_> =
        lead.iter().map(|name| (format!("{prefix}embeddings.{name}"), 1, true)).collect();
    let positions = format!("{prefix}embeddings.position_embeddings");
    vision::places(&mut recipe, &lead, positions, (grid, grid), Kernel::Plain);
    recipe.skip.extend(["pooler.*", "embeddings.mask_token"].map(|n| format!("{prefix}{n}")));
    recipe.skip.push("decoder.*".into());
    Ok(recipe)
}
