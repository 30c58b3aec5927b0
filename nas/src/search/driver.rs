//! The whole search as a list of jobs: teacher, shared weights, one search a network, MPCViT's own
//! search, then training and calibration of every architecture that was found or is compared.
//!
//! Every job goes on from its checkpoint; a job that has ended is in the manifest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use sotto_models::images::{Picture, normalise};
use sotto_models::{Arch, Calibration, Private, Weights, private};

use crate::config::{Config, Recipe};
use crate::data::{DataSet, Split};
use crate::distil::Teacher;
use crate::engine::Engine;
use crate::search::baselines;
use crate::search::explore::{Goal, Search};
use crate::search::latency::{Latencies, Oracle, simulator};
use crate::search::manifest::{Candidate, Manifest, Outcome, Trained};
use crate::search::measure::demo;
use crate::search::page::page;
use crate::search::polish::polish;
use crate::search::schedule::Pressure;
use crate::search::settings::Settings;
use crate::search::space::{Alphas, Relaxation, Space};
use crate::search::summary::summarise;
use crate::train::Trainer;
use crate::weights::upload;
use crate::{Error, checkpoint};

/// Images that the simulator takes the ranges of tensors from.
const RANGE_IMAGES: usize = 8;
/// Architectures on which the relaxed latency is compared with the simulator's.
const CHECKED: u64 = 30;
/// Training images on which small changes of an architecture are judged.
const POLISHED: usize = 2000;
/// The pressure that a search starts with.
const LAMBDA: f64 = 0.01;
/// MPCViT's weight of the sum of its parameters, and the learning rate of them.
const MPCVIT: (f64, f64) = (1e-5, 1e-3);

/// A search from the first job to the last.
pub struct Driver {
    settings: Settings,
    config: Config,
    device: Device,
    manifest: Manifest,
}

/// What predicts the latencies of one network.
struct Priced {
    name: String,
    oracle: sotto_netsim::Oracle,
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
        manifest.commands.push(command);
        manifest.save(&config.out)?;
        Ok(Self { settings, config, device, manifest })
    }

    /// Runs what is left to do.
    ///
    /// # Errors
    /// Those of the jobs.
    pub fn run(&mut self, data: &DataSet) -> Result<&Manifest, Error> {
        let base = self.manifest.base.clone();
        let epochs = self.settings.epochs.clone();
        let plain = self.recipe(epochs.teacher);
        self.train("teacher", &base, plain, [None, None], data)?;
        let teacher = Some("teacher");
        let shared = Recipe { drawn: true, ..self.recipe(epochs.supernet) };
        self.train("supernet", &base, shared, [teacher, None], data)?;

        let priced = self.price(data)?;
        for one in &priced {
            self.search(one, data)?;
        }
        self.mpcvit(data)?;
        let archs = self.candidates(&priced)?;
        let inherited = if self.settings.scratch { None } else { Some("supernet") };
        for (model, arch) in &archs {
            let recipe = self.recipe(epochs.train);
            self.train(model, arch, recipe, [teacher, inherited], data)?;
            self.calibrate(model, data)?;
        }
        for (model, arch) in &archs {
            let trained = self.manifest.models.get_mut(model).expect("trained above");
            for one in &priced {
                let latency = one.oracle.latency(arch).map_err(|e| Error::Arch(e.to_string()))?;
                trained.latency.insert(one.name.clone(), latency);
            }
        }
        self.manifest.save(&self.config.out)?;
        if let Some(sotto) = self.settings.measure.sotto.clone() {
            for (model, _) in &archs {
                self.measure(&sotto, model)?;
            }
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

    /// Measures a model privately, as far as that has not been done.
    fn measure(&mut self, sotto: &Path, model: &str) -> Result<(), Error> {
        let folder = self.folder(model);
        let data = self.config.data.clone();
        let counts = self.settings.measure.clone();
        let known = |m: &Manifest, network: &str| m.models[model].measured.contains_key(network);
        if self.manifest.models[model].private.is_none() {
            eprintln!("{model}: {} images privately", counts.images);
            let measured = demo(sotto, &folder, &data, counts.images, "loopback")?;
            let trained = self.manifest.models.get_mut(model).expect("it is trained");
            trained.private = Some(measured);
            self.manifest.save(&self.config.out)?;
        }
        for (network, words) in self.settings.networks()?.iter().zip(&self.settings.networks) {
            if !known(&self.manifest, &network.name) {
                let measured = demo(sotto, &folder, &data, counts.repeats, words)?;
                let trained = self.manifest.models.get_mut(model).expect("it is trained");
                trained.measured.insert(network.name.clone(), measured);
                self.manifest.save(&self.config.out)?;
            }
        }
        Ok(())
    }

    fn recipe(&self, epochs: usize) -> Recipe {
        Recipe { epochs, ..self.settings.recipe.clone() }
    }

    fn folder(&self, model: &str) -> PathBuf {
        self.config.out.join("models").join(model)
    }

    /// Trains a model, unless it is done; `[teacher, init]` are models that were trained before.
    fn train(
        &mut self,
        model: &str,
        arch: &Arch,
        recipe: Recipe,
        [teacher, init]: [Option<&str>; 2],
        data: &DataSet,
    ) -> Result<(), Error> {
        if self.manifest.models.contains_key(model) {
            return Ok(());
        }
        eprintln!("training {model} for {} epochs", recipe.epochs);
        let out = self.folder(model);
        std::fs::create_dir_all(&out).map_err(|e| Error::file(&out, e))?;
        let config = Config {
            teacher: teacher.map(|t| self.folder(t)),
            init: init.map(|i| self.folder(i)),
            resume: true,
            recipe: Recipe {
                distilled: teacher.is_some(),
                inherited: init.is_some(),
                ..recipe.clone()
            },
            out: out.clone(),
            ..self.config.clone()
        };
        let mut trainer = Trainer::new(config, arch.clone(), self.device.clone())?;
        trainer.run(data, None)?;
        let seconds = trainer.seconds();

        // What is exported, as it is exported.
        let (arch, values) = checkpoint::import(&out)?;
        let weights = upload(&arch, &values, &self.device);
        let accuracy = self.engine(&arch, None, false).accuracy(&weights, &data.test);
        eprintln!("{model}: {:.2} % of {} test images", 100.0 * accuracy, data.test.len());
        let (images, latency) = (data.test.len(), BTreeMap::new());
        let trained = Trained {
            arch,
            accuracy,
            images,
            epochs: recipe.epochs,
            seconds,
            latency,
            private: None,
            measured: BTreeMap::new(),
        };
        self.manifest.models.insert(model.to_owned(), trained);
        self.manifest.save(&self.config.out)
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

    /// The simulators, with ranges of the shared weights' tensors.
    fn price(&self, data: &DataSet) -> Result<Vec<Priced>, Error> {
        let base = &self.manifest.base;
        let machine = self.settings.machine()?;
        let weights = self.weights("supernet", base)?;
        let images = inputs(base, &data.train, RANGE_IMAGES);
        let one = |network: sotto_netsim::Network| {
            let objective = self.settings.objective();
            let seen = (&weights, &images[..]);
            let oracle = simulator(base, seen, &network, &machine, objective);
            let latencies = Latencies::new(&Space::default(), base, &oracle)?;
            Ok(Priced { name: network.name, oracle, latencies })
        };
        self.settings.networks()?.into_iter().map(one).collect()
    }

    fn weights(&self, model: &str, arch: &Arch) -> Result<Weights, Error> {
        let path = self.folder(model).join("weights.safetensors");
        Weights::load(&path, arch).map_err(|e| Error::Checkpoint(e.to_string()))
    }

    fn search(&mut self, priced: &Priced, data: &DataSet) -> Result<(), Error> {
        let Priced { name, oracle, latencies } = priced;
        if self.manifest.searches.contains_key(name) {
            return Ok(());
        }
        let space = Space::default();
        let differences = latencies.differences(oracle, CHECKED)?;
        let range = latencies.range();
        let base = self.manifest.base.clone();
        let equal: Vec<f64> = baselines::plain(&base)
            .into_iter()
            .chain([baselines::uniform(&base, base.heads.div_ceil(2))])
            .map(|(_, arch)| Oracle::latency(oracle, &arch))
            .collect::<Result<_, _>>()?;
        let budgets = self.settings.budgets(range, &equal);
        eprintln!(
            "searching for {name}: {:.4} to {:.4} s, budgets {budgets:.4?}, relaxed latency within \
             {:.1e} of the simulator's on {CHECKED} architectures (tables alone {:.1e})",
            range.0, range.1, differences[0], differences[1]
        );
        let alphas = Alphas::new(&space.sites(&base), Relaxation::Softmax);
        let goal = Goal::Latency { oracle, latencies };
        let pressure = Pressure::new(LAMBDA, budgets);
        let shares = (alphas, self.settings.alpha_lr);
        let folder = self.config.out.join(format!("search-{name}"));
        let mut search = self.explore(folder, space, shares, (goal, pressure))?;
        let mut found = search.run(&data.train, None)?.found.clone();
        let steps = search.step();
        let (_, values) = checkpoint::import(&self.folder("supernet"))?;
        let weights = upload(&base, &values, &self.device);
        let images = data.train.head(POLISHED);
        let engine = self.engine(&base, None, true);
        for one in found.iter_mut().filter(|_| self.settings.polish > 0) {
            let costs: (&Latencies, &dyn Oracle) = (latencies, oracle);
            let what = (&Space::default(), &one.arch, one.budget);
            let effort = (self.settings.polish, self.settings.recipe.seed);
            let (arch, latency, entropy) =
                polish(what, costs, (&engine, &weights, &images), effort)?;
            (one.arch, one.latency, one.polished) = (arch, latency, Some(entropy));
        }
        let outcome = Outcome { range, found, steps, differences };
        self.manifest.searches.insert(name.clone(), outcome);
        self.manifest.save(&self.config.out)
    }

    fn mpcvit(&mut self, data: &DataSet) -> Result<(), Error> {
        if self.manifest.mpcvit.is_some() {
            return Ok(());
        }
        eprintln!("searching as MPCViT's release does");
        let space = Space::mpcvit();
        let alphas = Alphas::new(&space.sites(&self.manifest.base), Relaxation::Clamped);
        let goal = (Goal::First(MPCVIT.0), Pressure::new(MPCVIT.0, Vec::new()));
        let folder = self.config.out.join("search-mpcvit");
        let mut search = self.explore(folder, space, (alphas, MPCVIT.1), goal)?;
        let alphas = search.run(&data.train, None)?.alphas.clone();
        self.manifest.mpcvit = Some(alphas);
        self.manifest.save(&self.config.out)
    }

    fn explore<'a>(
        &self,
        folder: PathBuf,
        space: Space,
        shares: (Alphas, f64),
        goal: (Goal<'a>, Pressure),
    ) -> Result<Search<'a>, Error> {
        std::fs::create_dir_all(&folder).map_err(|e| Error::file(&folder, e))?;
        let base = &self.manifest.base;
        let teacher = Teacher::load(&self.folder("teacher"), base, &self.device)?;
        let engine = self.engine(base, Some(teacher), true);
        let recipe = Recipe {
            lr: self.settings.search_lr,
            distilled: true,
            inherited: true,
            ..self.recipe(self.settings.epochs.search)
        };
        Search::new(folder, engine, recipe, &self.folder("supernet"), space, shares, goal)
    }

    /// Lists what is compared, once; returns every distinct model with its architecture.
    fn candidates(&mut self, priced: &[Priced]) -> Result<Vec<(String, Arch)>, Error> {
        let base = self.manifest.base.clone();
        // (name, network, searched, budget, architecture)
        let mut all: Vec<(String, Option<String>, bool, Option<f64>, Arch)> = Vec::new();
        for one in priced {
            for found in &self.manifest.searches[&one.name].found {
                let name = format!("{} {:.3} s", one.name, found.budget);
                let network = Some(one.name.clone());
                all.push((name, network, true, Some(found.budget), found.arch.clone()));
            }
        }
        let baseline = |(name, arch)| (name, None, false, None, arch);
        all.extend(baselines::plain(&base).into_iter().map(baseline));
        all.push(baseline(baselines::uniform(&base, base.heads.div_ceil(2))));
        let alphas = self.manifest.mpcvit.as_ref().expect("searched before");
        let half = base.layers * base.heads / 2;
        all.push(baseline(baselines::mpcvit(&base, alphas, half)));
        for one in priced {
            let found = &self.manifest.searches[&one.name].found;
            let Some(middle) = found.get(found.len() / 2) else { continue };
            let space = Space::default();
            let costs: (&Latencies, &dyn Oracle) = (&one.latencies, &one.oracle);
            let seed = self.settings.recipe.seed;
            if let Some(arch) = baselines::random((&space, &base), costs, middle.budget, seed)? {
                let (name, budget) = (format!("random, {}", one.name), Some(middle.budget));
                all.push((name, Some(one.name.clone()), false, budget, arch));
            }
        }
        let mut archs: Vec<(String, Arch)> = Vec::new();
        let mut candidates = Vec::new();
        for (name, network, searched, budget, arch) in all {
            let hash: String = arch.hash()[..4].iter().map(|b| format!("{b:02x}")).collect();
            let model = format!("{}-{hash}", base.name);
            if !archs.iter().any(|(m, _)| *m == model) {
                archs.push((model.clone(), Arch { name: model.clone(), ..arch }));
            }
            candidates.push(Candidate { name, network, searched, budget, model });
        }
        self.manifest.candidates = candidates;
        self.manifest.save(&self.config.out)?;
        Ok(archs)
    }

    /// Writes `calibration.toml` beside a trained model, unless it is there, and checks that the
    /// model can be traced with it.
    fn calibrate(&self, model: &str, data: &DataSet) -> Result<(), Error> {
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

/// The first `n` images, normalised.
fn inputs(arch: &Arch, split: &Split, n: usize) -> Vec<Vec<f32>> {
    let picture = |i| {
        let pixels = split.image(i).to_vec();
        normalise(arch, &Picture { label: None, name: String::new(), pixels })
    };
    (0..n.min(split.len())).map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;

    #[test]
    fn a_whole_search_runs_and_a_resumed_one_has_nothing_to_do() {
        let out = std::env::temp_dir().join(format!("sotto-nas-driver-{}", std::process::id()));
        std::fs::create_dir_all(&out).unwrap();
        let base = Arch {
            mean: presets::find("vit_7_4_32").unwrap().mean,
            ..Arch::vit(2, 2, 16, 32, 32, 8, 10)
        };
        let data = DataSet {
            name: "synthetic",
            classes: 10,
            train: Split::synthetic(40),
            test: Split::synthetic(20),
        };
        let run = |resume: &str| {
            let line = format!(
                "--data d --out {} --net lan --net wan --pareto 2 --epochs 1 --teacher-epochs 2 \
                 --supernet-epochs 1 --search-epochs 1 --polish 3 --batch 20 --micro 10 --calibrate 2{resume}",
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
            }
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
