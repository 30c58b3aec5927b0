//! What a trained model is measured with: its number format, private accuracy and latency.

use std::path::Path;

use super::Driver;
use crate::Error;
use crate::calibrate::calibrate;
use crate::data::DataSet;
use crate::search::measure::demo;
use crate::search::summary::summarise;

/// Images in one evaluation where their classes alone are wanted.
const BATCH: usize = 10;
/// Short evaluations vary the most: as many as take so many seconds by prediction, up to [`MOST`].
const SHORT: f64 = 2.0;
const MOST: usize = 20;
/// Each round measures every model once: a machine that is slow for a while is slow for all of them.
const ROUNDS: usize = 3;

impl Driver {
    /// Measures privately what has not been measured: the latency of all that is compared, over the network on which it
    /// is, and the accuracy of the fronts' points.
    pub(super) fn measure(&mut self, sotto: &Path) -> Result<(), Error> {
        let networks = self.settings.networks()?;
        let sections = summarise(&self.manifest).networks;
        for (network, words) in networks.iter().zip(self.settings.networks.clone()) {
            let section = sections.iter().find(|s| s.network == network.name);
            let mut models: Vec<&String> =
                section.iter().flat_map(|s| &s.rows).map(|row| &row.model).collect();
            models.sort();
            models.dedup();
            for round in 0..ROUNDS {
                for model in &models {
                    self.measure_latency(sotto, model, (&network.name, &words), round)?;
                }
            }
        }
        for row in sections.iter().flat_map(|s| &s.rows).filter(|row| row.point) {
            self.measure_accuracy(sotto, &row.model)?;
        }
        Ok(())
    }

    fn measure_latency(
        &mut self,
        sotto: &Path,
        model: &str,
        (network, words): (&str, &str),
        round: usize,
    ) -> Result<(), Error> {
        let trained = &self.manifest.models[model];
        if trained.measured.get(network).is_some_and(|rounds| rounds.len() > round) {
            return Ok(());
        }
        let short = (SHORT / trained.latency[network]) as usize;
        let repeats = self.settings.measure.repeats.max(short.min(MOST));
        eprintln!("{model}: {repeats} images over {network}, round {} of {ROUNDS}", round + 1);
        let measured = demo(sotto, &self.folder(model), &self.config.data, (repeats, 1), words)?;
        let trained = self.manifest.models.get_mut(model).expect("it is trained");
        trained.measured.entry(network.to_owned()).or_default().push(measured);
        self.manifest.save(&self.config.out)
    }

    fn measure_accuracy(&mut self, sotto: &Path, model: &str) -> Result<(), Error> {
        if self.manifest.models[model].private.is_some() {
            return Ok(());
        }
        let images = self.settings.measure.images;
        eprintln!("{model}: {images} images privately");
        let (folder, data) = (self.folder(model), &self.config.data);
        let measured = demo(sotto, &folder, data, (images, BATCH), "loopback")?;
        let trained = self.manifest.models.get_mut(model).expect("it is trained");
        trained.private = Some(measured);
        self.manifest.save(&self.config.out)
    }

    /// Writes `calibration.toml` beside a trained model, unless it is there, and checks that the
    /// model can be traced with it.
    pub(super) fn calibrate(&self, model: &str, data: &DataSet) -> Result<(), Error> {
        let path = self.folder(model).join("calibration.toml");
        if path.exists() {
            return Ok(());
        }
        let arch = &self.manifest.models[model].arch;
        calibrate(&self.folder(model), arch, data, self.settings.calibrate)
    }
}
