//! How pictures of any size become a model's, as the model's own preprocessor does it.

use std::path::Path;

use image::{DynamicImage, imageops::FilterType};
use serde::{Deserialize, Serialize};

use crate::{Error, files, model::Pixels};

/// The file's name in a model's folder.
pub const FILE: &str = "picture.toml";

/// Most pixels of a side after scaling.
const MAX_SIZE: usize = 2048;
/// A picture that is more times as long as it is wide is refused: its scaled form would not fit into memory.
const MAX_SHAPE: u32 = 16;

/// How a picture of any size becomes the model's: scaled, then its centred square cut out.
///
/// This is what `picture.toml` of an imported folder holds. Mean and deviation are in the description itself. It may come from a
/// peer: [`Framing::validate`] says whether it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framing {
    /// What is scaled to `size`.
    pub scale: Scale,
    /// Pixels after scaling.
    pub size: usize,
    /// Side of the square that is cut out: the model's own.
    pub crop: usize,
    /// How pixels are interpolated.
    pub filter: Filter,
}

/// What a picture's size is after scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// The shorter side; the picture keeps its shape.
    Shorter,
    /// Both sides, whatever the picture's shape was.
    Both,
}

/// How pixels are interpolated; all average where a picture shrinks, but the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// Linear in both directions.
    Bilinear,
    /// Cubic in both directions.
    Bicubic,
    /// A windowed sinc of three lobes.
    Lanczos,
}

impl Framing {
    /// Reads `picture.toml` of a model's folder; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Picture`] for a file that is none, or not of the model's pictures.
    pub fn load(folder: &Path, pixels: &Pixels) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = files::text(&path)?;
        let framing: Self =
            toml::from_str(&text).map_err(|e| Error::picture(FILE, e.to_string()))?;
        framing.validate(pixels)?;
        Ok(Some(framing))
    }

    /// Whether it makes the model's pictures.
    ///
    /// # Errors
    /// [`Error::Picture`] with what is accepted.
    pub fn validate(&self, pixels: &Pixels) -> Result<(), Error> {
        let Self { size, crop, .. } = *self;
        if crop == pixels.image && (crop..=MAX_SIZE).contains(&size) {
            return Ok(());
        }
        Err(Error::picture(
            FILE,
            format!(
                "scales to {size} and cuts {crop} out; the model's pictures have {}, and at most {MAX_SIZE} are scaled to",
                pixels.image
            ),
        ))
    }

    /// The picture of the model's size.
    pub(super) fn apply(&self, picture: &DynamicImage, file: &str) -> Result<DynamicImage, Error> {
        let side = |n: usize| u32::try_from(n).expect("a size is at most 2048");
        let (size, crop) = (side(self.size), side(self.crop));
        let (width, height) = (picture.width(), picture.height());
        let shorter = width.min(height).max(1);
        let scaled = |n: u32| match self.scale {
            Scale::Both => size,
            Scale::Shorter => (u64::from(n) * u64::from(size) / u64::from(shorter)) as u32,
        };
        if width.max(height) / shorter >= MAX_SHAPE {
            let why = format!("has {width} x {height} pixels; at most {MAX_SHAPE} to 1 are scaled");
            return Err(Error::picture(file, why));
        }
        let filter = match self.filter {
            Filter::Nearest => FilterType::Nearest,
            Filter::Bilinear => FilterType::Triangle,
            Filter::Bicubic => FilterType::CatmullRom,
            Filter::Lanczos => FilterType::Lanczos3,
        };
        let (w, h) = (scaled(width), scaled(height));
        let whole = match (w, h) == (width, height) {
            true => picture.clone(),
            false => picture.resize_exact(w, h, filter),
        };
        Ok(whole.crop_imm((w - crop) / 2, (h - crop) / 2, crop, crop))
    }
}
