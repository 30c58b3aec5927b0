//! DINOv2, with and without registers: LayerScale, positions of another grid, a head over class token and mean patch.

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
    ("blocks.N.norm1", &["encoder.layer.N.norm1"]),
    (
        "blocks.N.attn.qkv",
        &[
            "encoder.layer.N.attention.attention.query",
            "encoder.layer.N.attention.attention.key",
            "encoder.layer.N.attention.attention.value",
        ],
    ),
    ("blocks.N.attn.proj", &["encoder.layer.N.attention.output.dense"]),
    ("blocks.N.norm2", &["encoder.layer.N.norm2"]),
    ("blocks.N.mlp.fc1", &["encoder.layer.N.mlp.fc1"]),
    ("blocks.N.mlp.fc2", &["encoder.layer.N.mlp.fc2"]),
    ("norm", &["layernorm"]),
];
const SCALES: &[(&str, &str)] = &[
    ("blocks.N.attn.proj", "encoder.layer.N.layer_scale1.lambda1"),
    ("blocks.N.mlp.fc2", "encoder.layer.N.layer_scale2.lambda1"),
];
const HEADS: &Names = &[("head", &["classifier"])];

pub(crate) fn recipe(given: &Given<'_>) -> Result<Recipe, Error> {
    let config = given.config;
    text::plain(config)?;
    config.must_be("use_swiglu_ffn", false)?;
    config.must_be("apply_layernorm", true)?;
    let preparation = picture::read(given.folder)?;
    // Pictures are as the preprocessor cuts them; the positions of the grid that was trained are resized to theirs.
    let (image, trained) = (preparation.framing.crop, config.side("image_size")?);
    let registers = match config.text("model_type")? {
        Some("dinov2_with_registers") => config.size("num_register_tokens")?,
        _ => 0,
    };
    let kernel = if registers > 0 { Kernel::Antialias } else { Kernel::Plain };
    let pixels = vision::pixels(config, &preparation, image, 1 + registers)?;
    let from = vision::grid(config, "image_size", trained, pixels.patch)?;
    let to = vision::grid(config, "patch_size", image, pixels.patch)?;
    let stack = stack(given)?;
    let mut notes = Vec::new();
    if from != to {
        notes.push(format!("positions of {from} x {from} patches were resized to {to} x {to}"));
    }
    let output = match vision::classifies(given)? {
        true => vision::classes(given, "classifier", Pool::FirstAndMean, &mut notes)?,
        false => vision::embedding(given),
    };
    let mut recipe = vision::model(given, (pixels, preparation.framing), stack, output, notes)?;
    let prefix = given.prefix(&["dinov2.", "dinov2_with_registers.", ""], "embeddings.cls_token");
    recipe.sources.extend(sources(&recipe.model, NAMES, prefix));
    recipe.sources.extend(sources(&recipe.model, HEADS, ""));
    recipe.scale(SCALES, prefix);
    let mut lead = vec![(format!("{prefix}embeddings.cls_token"), 1, true)];
    if registers > 0 {
        lead.push((format!("{prefix}embeddings.register_tokens"), registers, false));
    }
    let positions = format!("{prefix}embeddings.position_embeddings");
    vision::places(&mut recipe, &lead, positions, (from, to), kernel);
    recipe.skip.push(format!("{prefix}embeddings.mask_token"));
    Ok(recipe)
}

/// The stack, whose hidden width is a multiple of its width.
fn stack(given: &Given<'_>) -> Result<sotto_models::model::Stack, Error> {
    let config = given.config;
    let ratio = config.number_or("mlp_ratio", 4.0)?;
    if !(0.0..=64.0).contains(&ratio) {
        return Err(config.other("mlp_ratio", "0 to 64"));
    }
    let width = config.size("hidden_size")?;
    let hidden = (width as f64 * ratio) as usize;
    let activation = stack::activation(config, "hidden_act")?;
    let layers = stack::layers(config, "num_hidden_layers")?;
    let heads = stack::heads(config, "num_attention_heads")?;
    let eps = config.number_or("layer_norm_eps", 1e-6)?;
    let mut stack = stack::uniform(layers, heads, [width, hidden], activation, Place::Before, eps);
    stack.qkv_bias = config.flag_or("qkv_bias", true)?;
    Ok(stack)
}
