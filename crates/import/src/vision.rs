//! What the families of pictures share: the picture, the head, the patches' places.

use sotto_models::{
    Model,
    model::{Classes, Input, Output, Pixels, Pool, Stack},
};

use crate::{
    config::Config,
    error::Error,
    given::Given,
    labels::labels,
    picture::{FILE, Framing, Preparation},
    recipe::{Grid, Recipe, Source},
    resize::Kernel,
};

/// Names of heads.
const HEADS: [&str; 5] =
    ["classifier.*", "cls_classifier.*", "distillation_classifier.*", "head.*", "head_dist.*"];

/// How many patches a side of the picture has.
///
/// # Errors
/// [`Error::Field`] where patches do not fill it.
pub(crate) fn grid(
    config: &Config,
    field: &str,
    image: usize,
    patch: usize,
) -> Result<usize, Error> {
    if patch == 0 || image == 0 || !image.is_multiple_of(patch) {
        let why = format!("= {image}; accepted: a multiple of `patch_size` = {patch}");
        return Err(config.refuse(field, why));
    }
    let side = image / patch;
    if side > 1024 {
        return Err(
            config.refuse(field, format!("= {image} makes {side} patches a side; at most 1024"))
        );
    }
    Ok(side)
}

/// Refuses a preparation that cuts out another size than the model's.
pub(crate) fn same_size(
    preparation: &Preparation,
    config: &Config,
    image: usize,
) -> Result<(), Error> {
    let crop = preparation.framing.crop;
    if crop == image {
        return Ok(());
    }
    let why =
        format!("= {image}, but {FILE} makes pictures of {crop}; accepted: the same size in both");
    Err(config.refuse("image_size", why))
}

/// The picture.
pub(crate) fn pixels(
    config: &Config,
    preparation: &Preparation,
    image: usize,
    lead: usize,
) -> Result<Pixels, Error> {
    let channels = config.size_or("num_channels", 3)?;
    let Preparation { mean, std, .. } = *preparation;
    Ok(Pixels { image, channels, patch: config.side("patch_size")?, mean, std, lead })
}

/// Whether the checkpoint classifies: the class that saved it, and what the owner chose.
pub(crate) fn classifies(given: &Given<'_>) -> Result<bool, Error> {
    if given.choices.embedding.is_some() {
        return Ok(false);
    }
    let field = "architectures";
    let class = given.config.value(field).and_then(|v| v[0].as_str());
    let Some(class) = class else { return Ok(false) };
    match class.rsplit_once("For").map_or("Model", |(_, task)| task) {
        "ImageClassification" | "ImageClassificationWithTeacher" => Ok(true),
        "Model" | "MaskedImageModeling" | "PreTraining" => Ok(false),
        _ => Err(given.config.other(field, "the family's Model or its ForImageClassification")),
    }
}

/// Classes of a pooled row, as many as the checkpoint's `head` has rows.
pub(crate) fn classes(
    given: &Given<'_>,
    head: &str,
    pool: Pool,
    notes: &mut Vec<String>,
) -> Result<(Output, Vec<String>), Error> {
    let classes = match given.checkpoint.size(&format!("{head}.weight"), 0) {
        Some(n) => n,
        None => given.config.size_or("num_labels", 2)?,
    };
    let names = labels(given.config, "id2label", classes, notes)?;
    Ok((Output::Classes(Classes { classes, pool, hidden: None }), names))
}

/// The result of a checkpoint without classes: the class token's row, unless the owner chose another.
pub(crate) fn embedding(given: &Given<'_>) -> (Output, Vec<String>) {
    let pool = given.choices.embedding.unwrap_or(Pool::First);
    (Output::Embedding { pool, normalise: false }, Vec::new())
}

/// The model without its sources.
///
/// # Errors
/// As [`Recipe::new`].
pub(crate) fn model(
    given: &Given<'_>,
    (pixels, framing): (Pixels, Framing),
    stack: Stack,
    (output, labels): (Output, Vec<String>),
    notes: Vec<String>,
) -> Result<Recipe, Error> {
    let model = Model { name: given.name(), labels, input: Input::Pixels(pixels), stack, output };
    let (framing, mut skip) = (Some(framing), Vec::new());
    // A head is left out where the owner says so, not because nobody says what it is.
    if given.choices.embedding.is_some() {
        skip.extend(HEADS.map(str::to_owned));
    }
    Recipe::new(model, skip, framing, notes)
}

/// The head of a model that reads the class token's row beside the distillation token's: the mean of both rows' heads. Nothing
/// for another.
pub(crate) fn mean_of_heads(recipe: &mut Recipe, heads: [&str; 2]) {
    if recipe.model.output.pool() != Some(Pool::FirstTwo) {
        return;
    }
    let (width, classes) = (recipe.model.stack.width, recipe.model.output.classes());
    for (part, shape) in [("weight", vec![classes, width]), ("bias", vec![classes])] {
        let [a, b] = heads.map(|head| (format!("{head}.{part}"), shape.clone()));
        recipe.sources.insert(format!("head.{part}"), Source::Mean(a, b));
    }
}

/// The sources of leading rows and positions. `lead` has each leading row's tensor, how many rows it has, and whether their
/// positions are stored, in the order of the model; `from` is the stored grid's side.
pub(crate) fn places(
    recipe: &mut Recipe,
    lead: &[(String, usize, bool)],
    positions: String,
    (from, to): (usize, usize),
    kernel: Kernel,
) {
    let d = recipe.model.stack.width;
    let tokens = lead.iter().map(|(name, n, _)| (name.clone(), vec![1, *n, d])).collect();
    let mut stored = 0;
    let mut rows = Vec::new();
    for &(_, n, has) in lead {
        for _ in 0..n {
            rows.push(has.then_some(stored));
            stored += usize::from(has);
        }
    }
    let piece = (positions, vec![1, stored + from * from, d]);
    let grid = Grid { piece, lead: rows, stored, from, to, kernel };
    recipe.sources.insert("cls_token".into(), Source::Stack(tokens));
    recipe.sources.insert("pos_embed".into(), Source::Grid(grid));
}
