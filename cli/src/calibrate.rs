//! `sotto calibrate`: records the range of every tensor and writes it beside the weights.

use std::{fs, path::Path};

use sotto_models::{
    Arch, Calibration, Private, Weights,
    images::{Fit, load, normalise},
    private::Options,
};

use crate::error::Error;

/// Calibrates the model in `folder` on up to `count` pictures of `images`, and checks that a plan
/// can be traced from the result.
///
/// # Errors
/// [`Error::Model`] for a model or picture that is wrong, or ranges that need rings of more than 64 bits.
pub fn calibrate(
    folder: &Path,
    images: &Path,
    count: usize,
    progress: impl FnMut(usize),
) -> Result<Calibration, Error> {
    let path = folder.join("arch.toml");
    let arch = Arch::from_toml(&fs::read_to_string(&path).map_err(Error::io(&path))?)?;
    let weights = Weights::load(&folder.join("weights.safetensors"), &arch)?;
    let pictures = load(images, &arch, Fit::Exact, count)?;
    let inputs: Vec<Vec<f32>> = pictures.iter().map(|p| normalise(&arch, p)).collect();
    let calibration = Calibration::record(&arch, &weights, &inputs, progress);
    Private::new(&arch, &calibration, 1, Options::default())?;
    let path = folder.join("calibration.toml");
    fs::write(&path, calibration.to_toml()).map_err(Error::io(&path))?;
    Ok(calibration)
}
