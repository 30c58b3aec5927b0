//! `sotto calibrate`: records the range of every tensor and writes it beside the weights.

use std::{fs, path::Path};

use sotto_models::{
    Arch, Calibration, Private, Weights, calibration::Range, format::MARGIN, images::normalise,
    private::Options,
};

use crate::{error::Error, inputs::Inputs};

/// From so many images on a calibration is taken without a word.
pub const ENOUGH: usize = 256;

/// With fewer images classes are wrong without a sign of it.
const LEAST: usize = 16;

/// What to say of a calibration on fewer images than [`ENOUGH`].
pub fn thin(whose: &str, images: usize) -> String {
    format!(
        "warning: {whose} is calibrated on {images} images; with fewer than {ENOUGH}, classes may be wrong without a sign \
         of it"
    )
}

/// What a calibration found.
pub struct Calibrated {
    /// The ranges.
    pub calibration: Calibration,
    /// By what factor a tensor may exceed its range before results are wrong.
    pub margin: f64,
    /// By what factor all images exceed the first half of them, in the tensor where it is the most, and that tensor.
    pub grown: (f64, String),
}

/// Calibrates the model in `folder` on the pictures of `inputs`, and checks that a plan can be traced from the result.
/// `force` takes any number of pictures.
///
/// # Errors
/// [`Error::Model`] for a model or picture that is wrong, for too few pictures, or for ranges that need rings of more
/// than 64 bits.
pub fn calibrate(
    folder: &Path,
    inputs: &Inputs,
    force: bool,
    mut progress: impl FnMut(usize),
) -> Result<Calibrated, Error> {
    let path = folder.join("arch.toml");
    let arch = Arch::from_toml(&fs::read_to_string(&path).map_err(Error::io(&path))?)?;
    let weights = Weights::load(&folder.join("weights.safetensors"), &arch)?;
    let pictures = inputs.load_all(&arch)?;
    let count = pictures.len();
    if count < LEAST && !force {
        let why = format!(
            "{count} images are too few: others leave their ranges, and classes are wrong without a sign of it; give \
             {ENOUGH} or more, or --force"
        );
        return Err(Error::Model(sotto_models::Error::Calibration(why)));
    }
    let images: Vec<Vec<f32>> = pictures.iter().map(|p| normalise(&arch, p)).collect();
    let (first, second) = images.split_at(count.div_ceil(2));
    let half = Calibration::record(&arch, &weights, first, &mut progress);
    let rest = Calibration::record(&arch, &weights, second, |n| progress(first.len() + n));
    let calibration = joined(&half, &rest);
    Private::new(&arch, &calibration, 1, Options::default())?;
    let path = folder.join("calibration.toml");
    fs::write(&path, calibration.to_toml()).map_err(Error::io(&path))?;
    let grown = grown(&half, &calibration);
    Ok(Calibrated { calibration, margin: f64::from(1u32 << MARGIN), grown })
}

/// The ranges of both.
fn joined(a: &Calibration, b: &Calibration) -> Calibration {
    let mut all = a.clone();
    all.images += b.images;
    for (ranges, more) in all.layers.iter_mut().zip(&b.layers) {
        for (name, r) in more {
            let range = ranges.entry(name.clone()).or_insert(*r);
            *range = Range { min: range.min.min(r.min), max: range.max.max(r.max) };
        }
    }
    all
}

fn grown(half: &Calibration, whole: &Calibration) -> (f64, String) {
    let mut most = (1.0, "no tensor".to_owned());
    for (layer, (half, whole)) in half.layers.iter().zip(&whole.layers).enumerate() {
        for (name, range) in whole {
            let before = half.get(name).map_or(0.0, Range::size);
            if before > 0.0 && range.size() / before > most.0 {
                most = (range.size() / before, format!("`{name}` of layer {layer}"));
            }
        }
    }
    most
}
