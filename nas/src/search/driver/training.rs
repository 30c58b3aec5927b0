//! Training of all that is compared, with one seed or several.

use std::collections::{BTreeMap, BTreeSet};

use sotto_models::Arch;

use super::{Driver, Priced};
use crate::config::Config;
use crate::data::DataSet;
use crate::distil::Teacher;
use crate::recipe::Recipe;
use crate::search::latency::Oracle as _;
use crate::search::summary::{Row, summarise};
use crate::search::trained::{Run, Trained};
use crate::train::Trainer;
use crate::weights::upload;
use crate::{Error, checkpoint};

impl Driver {
    /// Loads the teacher with an empty memory. Every search and every model of one seed is taught on the same pictures.
    pub(super) fn teach(&mut self, data: &DataSet) -> Result<(), Error> {
        let passes = self.settings.epochs.train.max(self.settings.epochs.search);
        self.teacher = None;
        let teacher = Teacher::load(&self.folder("teacher"), &self.manifest.base, &self.device)?;
        self.teacher = Some(teacher.remembering(passes * data.train.len()));
        Ok(())
    }

    /// Trains and prices all that is compared, with the first seed.
    pub(super) fn train_each(
        &mut self,
        archs: &[(String, Arch)],
        priced: &[Priced],
        data: &DataSet,
    ) -> Result<(), Error> {
        for (model, arch) in archs {
            self.train_as(model, arch, self.settings.recipe.seed, data)?;
            self.calibrate(model, data)?;
        }
        for (model, arch) in archs {
            let trained = self.manifest.models.get_mut(model).expect("trained above");
            for one in priced {
                let latency = one.oracle.latency(arch)?;
                trained.latency.insert(one.name.clone(), latency);
            }
        }
        self.manifest.save(&self.config.out)
    }

    /// Trains baselines and points again with each further seed. A mean can lift another architecture to the front, so
    /// that this goes on until every point has all seeds.
    pub(super) fn train_again(&mut self, data: &DataSet) -> Result<(), Error> {
        let seed = self.settings.recipe.seed;
        loop {
            let mut complete = true;
            for seed in seed + 1..seed + self.settings.seeds {
                let wanted = self.without(seed);
                if wanted.is_empty() {
                    continue;
                }
                complete = false;
                self.teach(data)?;
                for model in wanted {
                    let arch = self.manifest.models[&model].arch.clone();
                    self.train_as(&model, &arch, seed, data)?;
                }
            }
            if complete {
                return Ok(());
            }
        }
    }

    /// The models of points and of baselines that were not trained with this seed; one random architecture stands for so
    /// many others that its own seeds are no matter.
    fn without(&self, seed: u64) -> BTreeSet<String> {
        let sections = summarise(&self.manifest).networks;
        let rows = sections.into_iter().flat_map(|section| section.rows);
        let random = |row: &Row| !row.searched && row.budget.is_some();
        let compared = rows.filter(|row| row.point || !(row.searched || random(row)));
        let compared = compared.map(|row| row.model);
        let has = |model: &String| self.manifest.models[model].runs.iter().any(|r| r.seed == seed);
        compared.filter(|model| !has(model)).collect()
    }

    fn train_as(
        &mut self,
        model: &str,
        arch: &Arch,
        seed: u64,
        data: &DataSet,
    ) -> Result<(), Error> {
        let inherited = if self.settings.scratch { None } else { Some("supernet") };
        let recipe = Recipe { seed, ..self.recipe(self.settings.epochs.train) };
        self.train(model, arch, recipe, inherited, data)
    }

    /// Trains a model with the recipe's seed, unless it is done, from the weights of `init` where that is given, taught by
    /// the teacher where there is one.
    pub(super) fn train(
        &mut self,
        model: &str,
        arch: &Arch,
        recipe: Recipe,
        init: Option<&str>,
        data: &DataSet,
    ) -> Result<(), Error> {
        let (seed, epochs) = (recipe.seed, recipe.epochs);
        let known = self.manifest.models.get(model);
        if known.is_some_and(|trained| trained.runs.iter().any(|run| run.seed == seed)) {
            return Ok(());
        }
        let name = match seed == self.settings.recipe.seed {
            true => model.to_owned(),
            false => format!("{model}-seed{seed}"),
        };
        eprintln!("training {name} for {epochs} epochs");
        let out = self.folder(&name);
        std::fs::create_dir_all(&out).map_err(|e| Error::file(&out, e))?;
        let config = Config {
            teacher: None,
            init: init.map(|i| self.folder(i)),
            resume: true,
            recipe: Recipe {
                distilled: self.teacher.is_some(),
                inherited: init.is_some(),
                ..recipe
            },
            out: out.clone(),
            ..self.config.clone()
        };
        let (device, teacher) = (self.device.clone(), self.teacher.clone());
        let mut trainer = Trainer::taught(config, arch.clone(), device, teacher)?;
        trainer.run(data, None)?;
        let seconds = trainer.seconds();

        // What is exported, as it is exported.
        let (arch, values) = checkpoint::import(&out)?;
        let weights = upload(&arch, &values, &self.device);
        let engine = self.engine(&arch, None, false);
        let right = engine.right(&weights, &data.test);
        let accuracy = right.share();
        let validation = engine.cross_entropy_of(&arch, &weights, &data.held);
        let images = data.test.len();
        eprintln!("{name}: {:.2} % of {images} test images", 100.0 * accuracy);
        let run = Run { seed, accuracy, validation, right, seconds };
        let trained = self.manifest.models.entry(model.to_owned()).or_insert_with(|| Trained {
            arch,
            images,
            epochs,
            runs: Vec::new(),
            latency: BTreeMap::new(),
            private: None,
            measured: BTreeMap::new(),
        });
        trained.runs.push(run);
        self.manifest.save(&self.config.out)?;
        // Eight times the model's size, and nothing goes on from it.
        let path = out.join("checkpoint.safetensors");
        std::fs::remove_file(&path).map_err(|e| Error::file(&path, e))
    }
}
