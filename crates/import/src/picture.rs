//! What becomes of a picture before the model sees it, from `preprocessor_config.json`.

pub use sotto_models::images::{Filter, Framing, Scale};

use crate::{config::Config, error::Error, folder::Folder};

/// The file's name.
pub(crate) const FILE: &str = "preprocessor_config.json";

/// A picture's preparation: framing, and the planes' mean and deviation for pixels in 0..=1.
#[derive(Clone, Copy)]
pub(crate) struct Preparation {
    pub framing: Framing,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// Reads `preprocessor_config.json`.
///
/// # Errors
/// [`Error::File`] where it is not there, [`Error::Field`] for a preparation that we do not have.
pub(crate) fn read(folder: &Folder) -> Result<Preparation, Error> {
    let Some(config) = Config::read(folder, FILE)? else {
        let why =
            "is not in the folder; it says how pictures are scaled and normalised: copy it there";
        return Err(Error::file(FILE, why));
    };
    config.must_be("do_resize", true)?;
    let (scale, size) = size(&config)?;
    let crop = match (config.flag_or("do_center_crop", false)?, scale) {
        (true, _) => crop(&config)?,
        (false, Scale::Both) => size,
        (false, Scale::Shorter) => {
            let why =
                "is false, but only the shorter side has a size; accepted: true with `crop_size`";
            return Err(config.refuse("do_center_crop", why));
        }
    };
    if crop > size {
        let why = format!("= {crop}; accepted: at most the size before it, {size}");
        return Err(config.refuse("crop_size", why));
    }
    let filter = match config.size_or("resample", 2)? {
        0 => Filter::Nearest,
        1 => Filter::Lanczos,
        2 => Filter::Bilinear,
        3 => Filter::Bicubic,
        _ => {
            return Err(
                config.other("resample", "0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic)")
            );
        }
    };
    let factor = match config.flag_or("do_rescale", true)? {
        true => config.number_or("rescale_factor", 1.0 / 255.0)?,
        false => 1.0,
    };
    if !(factor.is_finite() && factor > 0.0) {
        return Err(config.other("rescale_factor", "more than 0"));
    }
    let (mean, std) = match config.flag_or("do_normalize", true)? {
        true => (config.planes("image_mean")?, config.planes("image_std")?),
        false => ([0.0; 3], [1.0; 3]),
    };
    // A pixel p in 0..=1 enters as (255 factor p - mean) / std. One of the usual factor keeps its numbers to the bit.
    let unit = if (255.0 * factor - 1.0).abs() < 1e-9 { 1.0 } else { 255.0 * factor };
    let framing = Framing { scale, size, crop, filter };
    Ok(Preparation {
        framing,
        mean: mean.map(|m| (m / unit) as f32),
        std: std.map(|s| (s / unit) as f32),
    })
}

fn size(config: &Config) -> Result<(Scale, usize), Error> {
    let field = "size";
    let Ok(Some(size)) = config.inner(field) else {
        // Old files have a number: both sides, but in the families whose pictures keep their shape.
        let kind = |field: &str| config.text(field).map(|t| t.unwrap_or_default().to_owned());
        let kind = kind("image_processor_type")? + &kind("feature_extractor_type")?;
        let scale = if kind.contains("Bit") || kind.contains("CLIP") {
            Scale::Shorter
        } else {
            Scale::Both
        };
        return Ok((scale, config.side(field)?));
    };
    if size.value("shortest_edge").is_some() {
        return Ok((Scale::Shorter, size.size("shortest_edge")?));
    }
    square(config, field, &size).map(|n| (Scale::Both, n))
}

fn crop(config: &Config) -> Result<usize, Error> {
    let field = "crop_size";
    match config.inner(field) {
        Ok(Some(size)) => square(config, field, &size),
        _ => config.side(field),
    }
}

fn square(config: &Config, field: &str, size: &Config) -> Result<usize, Error> {
    let (height, width) = (size.size("height")?, size.size("width")?);
    if height == width { Ok(height) } else { Err(config.other(field, "equal height and width")) }
}
