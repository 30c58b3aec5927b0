//! The number format of a trained model, measured on training pictures: with it `sotto` runs the model.

use std::path::Path;

use sotto_models::images::{Picture, normalise};
use sotto_models::{Arch, Calibration, Private, Weights, private};

use crate::Error;
use crate::data::{DataSet, Split};

/// Training pictures that a model is calibrated on unless told otherwise.
pub const IMAGES: usize = 256;

/// The weights of the model in `folder`.
///
/// # Errors
/// [`Error::Checkpoint`] where they cannot be read or are another architecture's.
pub fn weights(folder: &Path, arch: &Arch) -> Result<Weights, Error> {
    let path = folder.join("weights.safetensors");
    Weights::load(&path, arch).map_err(|e| Error::Checkpoint(e.to_string()))
}

/// The first `n` pictures, normalised.
pub fn inputs(arch: &Arch, split: &Split, n: usize) -> Vec<Vec<f32>> {
    let picture = |i| {
        let pixels = split.image(i).to_vec();
        normalise(arch, &Picture { label: None, name: String::new(), pixels })
    };
    (0..n.min(split.len())).map(picture).collect()
}

/// Writes `calibration.toml` beside the weights in `folder`, from the first `n` training pictures, and checks that the
/// model can be traced with it.
///
/// # Errors
/// As [`weights`]; [`Error::Arch`] for ranges that no ring holds, [`Error::File`] when the disk refuses.
pub fn calibrate(folder: &Path, arch: &Arch, data: &DataSet, n: usize) -> Result<(), Error> {
    let images = inputs(arch, &data.train, n);
    let calibration = Calibration::record(arch, &weights(folder, arch)?, &images, |done| {
        eprint!("\rcalibrating on image {done} of {}   ", images.len());
    });
    eprintln!();
    Private::new(arch, &calibration, 1, private::Options::default())
        .map_err(|e| Error::Arch(e.to_string()))?;
    let path = folder.join("calibration.toml");
    std::fs::write(&path, calibration.to_toml()).map_err(|e| Error::file(&path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::export;
    use crate::weights::initial;

    #[test]
    fn a_trained_model_is_one_that_runs() {
        let out = std::env::temp_dir().join(format!("sotto-nas-calibrate-{}", std::process::id()));
        std::fs::create_dir_all(&out).unwrap();
        let (arch, data) = (Arch::vit(2, 2, 16, 32, 32, 8, 10), DataSet::synthetic(40, 20));
        export(&out, &arch, &initial(&arch, 1)).unwrap();
        calibrate(&out, &arch, &data, IMAGES).unwrap();
        let text = std::fs::read_to_string(out.join("calibration.toml")).unwrap();
        let calibration = Calibration::from_toml(&text).unwrap();
        assert_eq!(calibration.images, 40);
        let hash = sotto_models::calibration::hex(&weights(&out, &arch).unwrap().hash());
        assert_eq!(calibration.weights, hash, "`sotto` takes it for these weights alone");
        std::fs::remove_dir_all(out).unwrap();
    }
}
