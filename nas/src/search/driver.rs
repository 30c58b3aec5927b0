//! The whole search as a list of jobs: teacher, shared weights, one search a network, MPCViT's own
//! search, then generations of finalists, and training and calibration of these and of all that is compared.
//!
//! Every job goes on from its checkpoint; a job that has ended is in the manifest.

mod affordable;
mod compared;
mod finalists;
mod measures;
mod searches;
mod training;

use std::path::PathBuf;

use burn::tensor::Device;
use sotto_models::{Arch, Weights};
use sotto_netsim::Machines;

use crate::Error;
use crate::calibrate::{self, inputs};
use crate::config::Config;
use crate::data::DataSet;
use crate::distil::Teacher;
use crate::engine::Engine;
use crate::recipe::Recipe;
use crate::search::latency::Latencies;
use crate::search::manifest::Manifest;
use crate::search::page::page;
use crate::search::settings::Settings;
use crate::search::simulator::{Simulator, calibration_of_all_kinds};
use crate::search::space::Space;
use crate::search::summary::summarise;

/// Images that the simulator takes the ranges of tensors from.
const RANGE_IMAGES: usize = 8;
/// A search from the first job to the last.
pub struct Driver {
    settings: Settings,
    config: Config,
    device: Device,
    manifest: Manifest,
    teacher: Option<Teacher>,
}

/// What predicts the latencies of one network.
struct Priced {
    name: String,
    oracle: Simulator,
    latencies: Latencies,
}

impl Driver {
    /// Opens the output folder.
    ///
    /// # Errors
    /// As [`Manifest::open`].
    pub fn new(
        settings: Settings,
        config: Config,
        base: Arch,
        device: Device,
        command: String,
    ) -> Result<Self, Error> {
        let mut manifest = Manifest::open(&config.out, &settings, &base, config.resume)?;
        if manifest.commands.last() != Some(&command) {
            manifest.commands.push(command);
        }
        manifest.save(&config.out)?;
        Ok(Self { settings, config, device, manifest, teacher: None })
    }

    /// Runs what is left to do.
    ///
    /// # Errors
    /// Those of the jobs.
    pub fn run(&mut self, data: &DataSet) -> Result<&Manifest, Error> {
        self.affordable_untrained(data)?;
        let base = self.manifest.base.clone();
        let epochs = self.settings.epochs.clone();
        self.train("teacher", &base, self.recipe(epochs.teacher), None, data)?;
        self.teach(data)?;
        let shared = Recipe { drawn: true, ..self.recipe(epochs.supernet) };
        self.train("supernet", &base, shared, None, data)?;

        let priced = self.price(&self.weights("supernet", &base)?, data)?;
        self.affordable(&priced, 1.0)?;
        for one in &priced {
            self.search(one, data)?;
        }
        self.mpcvit(data)?;
        for generation in 0..self.settings.generations {
            self.name_finalists(generation, &priced, data)?;
            let archs = self.candidates(&priced)?;
            self.train_each(&archs, &priced, data)?;
        }
        self.train_again(data)?;
        if let Some(sotto) = self.settings.measure.program().map(PathBuf::from) {
            self.measure(&sotto)?;
        }
        self.report()?;
        Ok(&self.manifest)
    }

    /// Writes `report.json` and `report.html`.
    fn report(&self) -> Result<(), Error> {
        let summary = summarise(&self.manifest);
        let text = serde_json::to_string_pretty(&summary).expect("plain data always serialises");
        for (name, text) in [("report.json", text), ("report.html", page(&summary))] {
            let path = self.config.out.join(name);
            std::fs::write(&path, text).map_err(|e| Error::file(&path, e))?;
        }
        Ok(())
    }

    fn recipe(&self, epochs: usize) -> Recipe {
        Recipe { epochs, ..self.settings.recipe.clone() }
    }

    fn folder(&self, model: &str) -> PathBuf {
        self.config.out.join("models").join(model)
    }

    fn engine(&self, arch: &Arch, teacher: Option<Teacher>, fast: bool) -> Engine {
        let recipe = Recipe { bf16: fast && self.settings.recipe.bf16, ..self.recipe(1) };
        Engine {
            arch: arch.clone(),
            precision: recipe.precision(),
            teacher,
            device: self.device.clone(),
            micro: recipe.micro,
            workers: self.config.workers,
        }
    }

    /// The simulators, with the ranges that tensors have under `weights`.
    fn price(&self, weights: &Weights, data: &DataSet) -> Result<Vec<Priced>, Error> {
        let base = &self.manifest.base;
        let images = inputs(base, &data.train, RANGE_IMAGES);
        let ranges = calibration_of_all_kinds(base, weights, &images);
        let machines = Machines::one(&self.settings.machine()?);
        let one = |network: sotto_netsim::Network| {
            let objective = self.settings.objective();
            let oracle = Simulator::new(base, &ranges, &network, &machines, objective);
            let latencies = Latencies::new(&Space::default(), base, &oracle)?;
            Ok(Priced { name: network.name, oracle, latencies })
        };
        self.settings.networks()?.into_iter().map(one).collect()
    }

    fn weights(&self, model: &str, arch: &Arch) -> Result<Weights, Error> {
        calibrate::weights(&self.folder(model), arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;
    use sotto_models::{Calibration, Private, private};

    #[test]
    fn a_whole_search_runs_and_a_resumed_one_has_nothing_to_do() {
        let out = std::env::temp_dir().join(format!("sotto-nas-driver-{}", std::process::id()));
        std::fs::create_dir_all(&out).unwrap();
        let base = Arch {
            mean: presets::find("vit_7_4_32").unwrap().mean,
            ..Arch::vit(2, 2, 16, 32, 32, 8, 10)
        };
        let data = DataSet::synthetic(50, 20).hold(10).unwrap();
        let run = |resume: &str| {
            let line = format!(
                "--data d --out {} --net lan --net wan --pareto 2 --epochs 1 --teacher-epochs 2 \
                 --supernet-epochs 1 --search-epochs 1 --validate 10 --polish 3 --finalists 2 --generations 2 --seeds 2 --batch 20 --micro 10 --calibrate 2{resume}",
                out.display()
            );
            let (settings, config) =
                Settings::parse(line.split_whitespace().map(String::from)).unwrap();
            let device = Device::flex();
            let mut driver =
                Driver::new(settings, config, base.clone(), device, line.clone()).unwrap();
            driver.run(&data).unwrap().clone()
        };
        let manifest = run("");
        for network in ["lan", "wan"] {
            let outcome = &manifest.searches[network];
            assert_eq!(outcome.found.len(), 2);
            assert!(outcome.differences[0] < 1e-12, "{:?}", outcome.differences);
            for found in &outcome.found {
                assert!(found.latency <= found.budget);
                assert!((1..=3).contains(&found.finalists.len()), "{found:?}");
                assert!(found.finalists.iter().all(|f| f.latency <= found.budget));
            }
        }
        let summary = summarise(&manifest);
        for row in summary.networks.iter().flat_map(|section| &section.rows) {
            // Neither what is no point nor a random architecture is trained again.
            let runs = &manifest.models[&row.model].runs;
            let again = row.point || !(row.searched || row.name.starts_with("random"));
            assert!(runs.len() == 2 || (runs.len() == 1 && !again), "{row:?}");
            assert_eq!(runs[0].seed, 1);
        }
        for candidate in &manifest.candidates {
            let trained = &manifest.models[&candidate.model];
            assert_eq!((trained.images, trained.latency.len()), (20, 2));
            if let (Some(budget), Some(network)) = (candidate.budget, &candidate.network) {
                assert!(trained.latency[network] <= budget);
            }
            let folder = out.join("models").join(&candidate.model);
            let text = std::fs::read_to_string(folder.join("calibration.toml")).unwrap();
            let calibration = Calibration::from_toml(&text).unwrap();
            Private::new(&trained.arch, &calibration, 1, private::Options::default()).unwrap();
        }
        assert!(manifest.candidates.iter().any(|c| c.name.starts_with("MPCViT")));
        let again = run(" --resume");
        assert_eq!(again.commands.len(), 2);
        assert_eq!(Manifest { commands: manifest.commands.clone(), ..again }, manifest);
        std::fs::remove_dir_all(out).unwrap();
    }
}
