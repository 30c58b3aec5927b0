//! What a trained model is measured with: its number format, private accuracy and latency.

use std::path::Path;

use sotto_models::{Calibration, Private, private};

use super::{Driver, inputs};
use crate::Error;
use crate::data::DataSet;
use crate::search::manifest::Manifest;
use crate::search::measure::demo;

/// Images in one evaluation where their classes alone are wanted.
const BATCH: usize = 10;
/// Short evaluations vary the most: as many as take so many seconds by prediction, up to [`MOST`].
const SHORT: f64 = 5.0;
const MOST: usize = 80;

impl Driver {
    /// Measures a model privately, as far as that has not been done.
    pub(super) fn measure(&mut self, sotto: &Path, model: &str) -> Result<(), Error> {
        let folder = self.folder(model);
        let data = self.config.data.clone();
        let counts = self.settings.measure.clone();
        let known = |m: &Manifest, network: &str| m.models[model].measured.contains_key(network);
        if self.manifest.models[model].private.is_none() {
            eprintln!("{model}: {} images privately", counts.images);
            let measured = demo(sotto, &folder, &data, (counts.images, BATCH), "loopback")?;
            let trained = self.manifest.models.get_mut(model).expect("it is trained");
            trained.private = Some(measured);
            self.manifest.save(&self.config.out)?;
        }
        for (network, words) in self.settings.networks()?.iter().zip(&self.settings.networks) {
            if !known(&self.manifest, &network.name) {
                let trained = self.manifest.models.get_mut(model).expect("it is trained");
                let short = (SHORT / trained.latency[&network.name]) as usize;
                let repeats = counts.repeats.max(short.min(MOST));
                let measured = demo(sotto, &folder, &data, (repeats, 1), words)?;
                trained.measured.insert(network.name.clone(), measured);
                self.manifest.save(&self.config.out)?;
            }
        }
        Ok(())
    }

    /// Writes `calibration.toml` beside a trained model, unless it is there, and checks that the
    /// model can be traced with it.
    pub(super) fn calibrate(&self, model: &str, data: &DataSet) -> Result<(), Error> {
        let path = self.folder(model).join("calibration.toml");
        if path.exists() {
            return Ok(());
        }
        let arch = &self.manifest.models[model].arch;
        let images = inputs(arch, &data.train, self.settings.calibrate);
        let weights = self.weights(model, arch)?;
        let calibration = Calibration::record(arch, &weights, &images, |done| {
            eprint!("\rcalibrating on image {done} of {}   ", images.len());
        });
        eprintln!();
        Private::new(arch, &calibration, 1, private::Options::default())
            .map_err(|e| Error::Arch(e.to_string()))?;
        std::fs::write(&path, calibration.to_toml()).map_err(|e| Error::file(&path, e))
    }
}
