//! Logit errors on the peers' benchmark scale: random weights and standard normal pixels.
//!
//! A picture of bytes cannot hold such pixels, so both parties run inside this process; the protocols are the
//! same and their results do not depend on the link.

use indicatif::ProgressBar;
use sotto::model::{Model, random_images};
use sotto_models::{
    Private,
    float::{NoProbe, forward},
    private::Options,
};

use crate::{error::Error, local::Local, record::Records};

/// Stream of the measured images; calibration has another.
const IMAGES: u64 = 2;

/// Adds `PRESET_max_error`, `PRESET_mean_error` and `PRESET_rms_error` over all logits of `count` images. The largest of so few
/// varies by a fifth from 16 images to others; the root mean square by one part in 30.
///
/// # Errors
/// [`Error::Sotto`] when the model cannot be traced or a party fails.
pub fn measure(
    preset: &str,
    model: &Model,
    count: usize,
    bar: &ProgressBar,
    records: &mut Records,
) -> Result<(), Error> {
    let Model { arch, weights, calibration, .. } = model;
    let pixels = arch.pixels().expect("a model of pictures");
    let private = Private::new(arch, calibration, 1, Options::default())?;
    let local = Local::new(&private.plan, private.matrices(weights))?;
    let mut errors: Vec<f64> = Vec::new();
    for (number, image) in (0..).zip(random_images(pixels, count, IMAGES)) {
        let truth = forward(arch, weights, &image, &mut NoProbe);
        let input = private.encode(&[image]);
        let zeros = input.iter().map(|words| vec![0; words.len()]).collect();
        let shares = [zeros, input];
        let done = local.evaluate(number, &shares)?;
        let logits = &private.decode(&done.outputs[0])[0];
        errors.extend(truth.iter().zip(logits).map(|(a, b)| (f64::from(*a) - b).abs()));
        bar.inc(1);
    }
    let largest = errors.iter().copied().fold(0.0, f64::max);
    let all = errors.len().max(1) as f64;
    let mean = errors.iter().sum::<f64>() / all;
    let rms = (errors.iter().map(|e| e * e).sum::<f64>() / all).sqrt();
    records.add(format!("{preset}_error_images"), count as f64, "images");
    records.add(format!("{preset}_max_error"), largest, "logits");
    records.add(format!("{preset}_mean_error"), mean, "logits");
    records.add(format!("{preset}_rms_error"), rms, "logits");
    Ok(())
}
