//! The models in the clear, on every device of this build and machine.

use std::time::Duration;

use indicatif::ProgressBar;
use sotto::{
    model::{Model, random_images},
    reference::{Asked, Report, measured},
    report::table,
    samples::Loaded,
};
use sotto_gpu::{Precision, devices, measure::Effort};
use sotto_models::Arch;

use crate::{error::Error, record::Records};

/// Images whose results are held against the float reference.
const IMAGES: usize = 4;

/// The models, and images at once.
fn models(quick: bool) -> Vec<(&'static str, Arch, usize)> {
    match quick {
        true => vec![("vit_cifar", Arch::vit_cifar(), 2)],
        false => vec![("vit_cifar", Arch::vit_cifar(), 64), ("vit_tiny", Arch::vit_tiny(), 16)],
    }
}

/// Measures all models on all devices in all precisions.
///
/// # Errors
/// [`Error::Sotto`] for a device that fails, [`Error::Check`] for a result in f32 that is not the float reference's.
pub fn measure(
    quick: bool,
    bar: &ProgressBar,
    records: &mut Records,
) -> Result<Vec<Report>, Error> {
    let effort = match quick {
        true => Effort::QUICK,
        false => Effort { runs: 5, time: Duration::from_secs(2) },
    };
    let mut all = Vec::new();
    for (preset, arch, batch) in models(quick) {
        let Model { arch, weights, .. } = Model::random(arch);
        let pixels = arch.pixels().expect("the presets take pictures");
        let inputs = random_images(pixels, IMAGES, 2);
        let loaded = Loaded { model: arch, weights, inputs };
        let found = devices::list().into_iter().filter(|(_, found)| found.is_ok());
        for (name, _) in found {
            let device = devices::open(name).map_err(sotto::Error::unusable)?;
            for &precision in &device.info().precisions {
                bar.set_message(format!("{preset} on {name} in {}", precision.name()));
                let report = measured(&loaded, &*device, Asked { precision, batch, effort })?;
                let off = report.largest_error;
                if precision == Precision::F32 && (off.is_nan() || off >= 1e-4) {
                    return Err(Error::Check(format!("{preset} on {name} is off by {off:e}")));
                }
                let of = format!("reference_{name}_{}_{preset}", precision.name());
                records.add(format!("{of}_s"), report.one_s, "s");
                records.add(format!("{of}_per_s"), report.per_second, "1/s");
                records.add(format!("{of}_error"), report.largest_error, "logit");
                all.push(report);
                bar.inc(1);
            }
        }
    }
    Ok(all)
}

/// The table.
pub fn text(all: &[Report]) -> String {
    let header = [
        "model in the clear",
        "device",
        "precision",
        "ms, one",
        "images/s",
        "batch",
        "share",
        "logit error",
    ];
    let mut t = table(&header, 3);
    for r in all {
        t.add_row(vec![
            r.model.clone(),
            r.name.clone(),
            r.precision.to_owned(),
            format!("{:.2}", 1e3 * r.one_s),
            format!("{:.1}", r.per_second),
            r.batch.to_string(),
            format!("{:.0} %", 100.0 * r.batch_share),
            format!("{:.1e}", r.largest_error),
        ]);
    }
    format!(
        "In the clear; share: the fewest seconds that the device's measured ceilings allow, by the measured ones.\n{t}"
    )
}
