//! DeiT: ViT with a second leading row, of distillation, and with one head or two.

use sotto_models::model::{Place, Pool};

use super::vit::NAMES;
use crate::{
    error::Error,
    given::Given,
    picture,
    recipe::{Names, Recipe, Source, sources},
    resize::Kernel,
    stack, text, vision,
};

const HEADS: &Names = &[("head", &["classifier"])];
/// Whose mean is the result: of the class token's row, and of the distillation token's.
const TEACHER: [&str; 2] = ["cls_classifier", "distillation_classifier"];

pub(crate) fn recipe(given: &Given<'_>) -> Result<Recipe, Error> {
    let config = given.config;
    text::plain(config)?;
    let eps = config.number_or("layer_norm_eps", 1e-12)?;
    let mut stack = stack::read(config, &stack::BERT, Place::Before, eps)?;
    stack.qkv_bias = config.flag_or("qkv_bias", true)?;
    let preparation = picture::read(given.folder)?;
    let image = config.side("image_size")?;
    vision::same_size(&preparation, config, image)?;
    let pixels = vision::pixels(config, &preparation, image, 2)?;
    let grid = vision::grid(config, "image_size", image, pixels.patch)?;
    let two = given.checkpoint.shape(&format!("{}.weight", TEACHER[0])).is_some();
    let mut notes = Vec::new();
    let output = match (vision::classifies(given)?, two) {
        (true, true) => vision::classes(given, TEACHER[0], Pool::FirstTwo, &mut notes)?,
        (true, false) => vision::classes(given, "classifier", Pool::First, &mut notes)?,
        (false, _) => vision::embedding(given),
    };
    let mut recipe = vision::model(given, (pixels, preparation.framing), stack, output, notes);
    let prefix = given.prefix(&["deit.", ""], "embeddings.cls_token");
    recipe.sources.extend(sources(&recipe.model, NAMES, prefix));
    recipe.sources.extend(sources(&recipe.model, HEADS, ""));
    if recipe.model.output.pool() == Some(Pool::FirstTwo) {
        let (d, classes) = (recipe.model.stack.width, recipe.model.output.classes());
        for (part, shape) in [("weight", vec![classes, d]), ("bias", vec![classes])] {
            let [a, b] = TEACHER.map(|head| (format!("{head}.{part}"), shape.clone()));
            recipe.sources.insert(format!("head.{part}"), Source::Mean(a, b));
        }
    }
    let lead = ["cls_token", "distillation_token"];
    let lead = lead.map(|name| (format!("{prefix}embeddings.{name}"), 1, true));
    let positions = format!("{prefix}embeddings.position_embeddings");
    vision::places(&mut recipe, &lead, positions, (grid, grid), Kernel::Plain);
    recipe.skip.extend(["pooler.*", "embeddings.mask_token"].map(|n| format!("{prefix}{n}")));
    recipe.skip.push("decoder.*".into());
    Ok(recipe)
}
