//! The number format of a trained model, measured on training pictures: with it `sotto` runs the model.

use std::path::Path;

use sotto_models::images::{Picture, normalise};
use sotto_models::{Arch, Model, Weights, owner, weights::Precision};

use crate::Error;
use crate::checkpoint::write;
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

/// Writes `calibration.toml` beside the weights in `folder`, from the first `n` training pictures, as `sotto calibrate` does:
/// where its arrangement changes the weights, their file is written again, and private results are held against plain ones.
///
/// # Errors
/// As [`weights`]; [`Error::Arch`] for ranges that no ring holds, or private results that are too far from plain ones;
/// [`Error::File`] when the disk refuses.
pub fn calibrate(folder: &Path, arch: &Arch, data: &DataSet, n: usize) -> Result<(), Error> {
    let images = inputs(arch, &data.train, n);
    let (model, before) = (Model::from(arch), weights(folder, arch)?);
    let owner::Calibrated { weights, calibration, error, far, .. } =
        owner::calibrated(&model, &before, &images, |done| {
            eprint!("\rcalibrating: pass {done} of {}   ", 2 * images.len());
        })
        .map_err(|e| Error::Arch(e.to_string()))?;
    eprintln!();
    if let Some(tensor) = far {
        return Err(Error::Arch(format!(
            "private results differ from plain ones by {:.1} %, first in {tensor}: train with another seed or recipe",
            100.0 * error
        )));
    }
    if weights.hash() != before.hash() {
        // An order: the numbers are those that `export` wrote.
        let half =
            weights.to_bytes(Precision::F16).map_err(|e| Error::Checkpoint(e.to_string()))?;
        write(&folder.join("weights.safetensors"), &half)?;
    }
    write(&folder.join("calibration.toml"), calibration.to_toml().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::export;
    use crate::weights::{initial, specs};
    use sotto_models::Calibration;

    #[test]
    fn a_trained_model_is_one_that_runs() {
        let out = std::env::temp_dir().join(format!("sotto-nas-calibrate-{}", std::process::id()));
        std::fs::create_dir_all(&out).unwrap();
        let (arch, data) = (Arch::vit(2, 2, 16, 32, 32, 8, 10), DataSet::synthetic(40, 20));
        // One hidden channel reaches further than the others.
        let mut values = initial(&arch, 1);
        let fc1 = specs(&arch).iter().position(|s| s.name == "blocks.0.mlp.fc1.weight").unwrap();
        values[fc1][..16].iter_mut().for_each(|w| *w *= 30.0);
        export(&out, &arch, &values).unwrap();
        let before = weights(&out, &arch).unwrap();
        calibrate(&out, &arch, &data, IMAGES).unwrap();
        let text = std::fs::read_to_string(out.join("calibration.toml")).unwrap();
        let calibration = Calibration::from_toml(&text).unwrap();
        assert_eq!(calibration.images, 40);
        let hash = sotto_models::calibration::hex(&weights(&out, &arch).unwrap().hash());
        assert_eq!(calibration.weights, hash, "`sotto` takes it for these weights alone");
        let last = calibration.groups[0].last().unwrap();
        assert_eq!(last.channels, 1, "a group for the channel that reaches far");
        let (was, is) = (before.values("blocks.0.mlp.fc1.weight"), weights(&out, &arch).unwrap());
        let is = is.values("blocks.0.mlp.fc1.weight");
        assert_eq!(is[is.len() - 16..], was[..16], "which comes last");
        std::fs::remove_dir_all(out).unwrap();
    }
}
