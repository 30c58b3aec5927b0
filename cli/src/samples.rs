//! What a model is calibrated and checked on: pictures, or texts.

use std::path::{Path, PathBuf};

use clap::Args;
use sotto_import::tokenizer::Long;
use sotto_models::{
    Model, Weights, files,
    images::{Fit, Framing, normalise, read_cifar},
    model::{Input, Pixels},
};

use crate::{
    error::Error,
    inputs::Inputs,
    lexicon::Lexicon,
    model::{DEMO_IMAGES, fit},
    texts::Texts,
};

/// Where pictures or texts come from.
#[derive(Args)]
pub struct Samples {
    /// Of a model of pictures, images like those that it will classify: PNG or JPEG, folders of these, CIFAR .bin or
    /// .tar.gz, or the folder of CIFAR or Tiny-ImageNet.
    #[arg(long, num_args = 1.., conflicts_with = "text")]
    images: Vec<PathBuf>,
    /// Centre-crop and resize pictures of another size, where the model does not say what becomes of them.
    #[arg(long)]
    resize: bool,
    /// Of a model of texts, a file with a text like those that it will read on each line.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Each line of --text has two texts with a tab between them.
    #[arg(long, requires = "text")]
    pairs: bool,
    /// Leave out the end of a text that is longer than the model takes.
    #[arg(long, requires = "text")]
    truncate: bool,
}

/// A model folder without its calibration, and what enters the model.
pub struct Loaded {
    /// The description.
    pub model: Model,
    /// The parameters.
    pub weights: Weights,
    /// Normalised pictures, or texts' rows.
    pub inputs: Vec<Vec<f32>>,
}

/// The embedded pictures, as a model takes them.
///
/// # Errors
/// [`Error::Config`] for a limit of 0; [`Error::Model`].
pub fn embedded(model: &Model, pixels: &Pixels, limit: usize) -> Result<Vec<Vec<f32>>, Error> {
    let pictures = read_cifar(DEMO_IMAGES, "images.bin", model, Fit::Resize, limit)?;
    if pictures.is_empty() {
        return Err(Error::Config("a limit of 0 leaves no picture".into()));
    }
    Ok(pictures.iter().map(|picture| normalise(pixels, picture)).collect())
}

/// What a model's inputs are called.
pub fn what(model: &Model) -> &'static str {
    if model.pixels().is_some() { "images" } else { "texts" }
}

impl Samples {
    /// Reads the model in `folder` and at most `limit` samples.
    ///
    /// # Errors
    /// Whatever is wrong with the model's files or a sample; [`Error::OtherInput`] for pictures where the model takes texts, or
    /// texts where it takes pictures; [`Error::Config`] where it needs some and none are named.
    pub fn load(&self, folder: &Path, limit: usize) -> Result<Loaded, Error> {
        let path = folder.join("arch.toml");
        let model = Model::from_toml(&files::text(&path)?)?;
        let weights = Weights::load(&folder.join("weights.safetensors"), &model)?;
        let inputs = self.inputs(folder, &model, &weights, limit)?;
        Ok(Loaded { model, weights, inputs })
    }

    /// Whether none are named.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.text.is_none()
    }

    /// At most `limit` samples, as the model takes them; a tokenizer is in `folder`.
    ///
    /// # Errors
    /// As [`Samples::load`].
    pub fn inputs(
        &self,
        folder: &Path,
        model: &Model,
        weights: &Weights,
        limit: usize,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let other = |takes: &str, option: &str| {
            Err(Error::Config(format!("`{}` takes {takes}: give {option}", model.name)))
        };
        let name = || model.name.clone();
        match (&model.input, &self.text) {
            (Input::Words(_), None) if !self.images.is_empty() => {
                Err(Error::OtherInput { model: name(), takes: "texts" })
            }
            (Input::Pixels(_), Some(_)) => {
                Err(Error::OtherInput { model: name(), takes: "pictures" })
            }
            (Input::Words(_), None) => other("texts", "--text FILE"),
            (Input::Words(_), Some(file)) => {
                let lexicon = Lexicon::of(folder, model, weights)?;
                let long = if self.truncate { Long::Truncate } else { Long::Refuse };
                Texts::read(file, self.pairs, limit)?.rows(&lexicon, long)
            }
            (Input::Pixels(_), _) if self.images.is_empty() => other("pictures", "--images FILES"),
            (Input::Pixels(pixels), _) => {
                let fit = fit(Framing::load(folder, pixels)?, self.resize);
                let pictures = Inputs::find(&self.images, fit, limit)?.load_all(model)?;
                Ok(pictures.iter().map(|p| normalise(pixels, p)).collect())
            }
            _ => other("another input", "a newer `sotto` a try"),
        }
    }
}
