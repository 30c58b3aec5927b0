//! DeiT: ViT with a second leading row, of distillation, and with one head or two.

use sotto_models::model::Pool;

use super::vit;
use crate::{error::Error, given::Given, recipe::Recipe, vision};

/// Whose mean is the result: of the class token's row, and of the distillation token's.
const TEACHER: [&str; 2] = ["cls_classifier", "distillation_classifier"];

pub(crate) fn recipe(given: &Given<'_>) -> Result<Recipe, Error> {
    let two = given.checkpoint.has(&format!("{}.weight", TEACHER[0]));
    let head = if two { (TEACHER[0], Pool::FirstTwo) } else { ("classifier", Pool::First) };
    let lead = ["cls_token", "distillation_token"];
    let mut recipe = vit::with_lead(given, "deit.", &lead, head)?;
    vision::mean_of_heads(&mut recipe, TEACHER);
    Ok(recipe)
}
