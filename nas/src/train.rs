//! The training loop: batches, schedule, average, progress, checkpoints and export.

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use sotto_models::Arch;

use crate::Error;
use crate::augment::Rng;
use crate::average;
use crate::checkpoint::{self, State, Tensors};
use crate::config::Config;
use crate::data::{DataSet, Split};
use crate::distil::Teacher;
use crate::engine::{Engine, Form, Loss};
use crate::feed::{Batch, Feed};
use crate::metrics::{self, Pace, Window};
use crate::optim::Optimiser;
use crate::search::space::Space;
use crate::weights::{download, initial, specs, upload};

/// Seconds between checkpoints: within an epoch, and at the end of one.
const CHECKPOINT_SECONDS: [f64; 2] = [150.0, 20.0];

/// A run in memory.
#[derive(Debug)]
pub struct Trainer {
    config: Config,
    engine: Engine,
    weights: Vec<Tensor<2>>,
    average: Vec<Tensor<2>>,
    optimiser: Optimiser,
    state: State,
}

impl Trainer {
    /// A fresh run, or with `--resume` the one whose checkpoint lies in the output folder.
    ///
    /// # Errors
    /// As [`checkpoint::load`], and [`Teacher::load`].
    pub fn new(config: Config, arch: Arch, device: Device) -> Result<Self, Error> {
        let load = |folder| Teacher::load(folder, &arch, &device);
        let teacher = config.teacher.as_deref().map(load).transpose()?;
        Self::taught(config, arch, device, teacher)
    }

    /// [`Trainer::new`] with a teacher that is in memory.
    ///
    /// # Errors
    /// As [`checkpoint::load`].
    pub fn taught(
        config: Config,
        arch: Arch,
        device: Device,
        teacher: Option<Teacher>,
    ) -> Result<Self, Error> {
        let recipe = config.recipe.clone();
        let engine = Engine {
            arch: arch.clone(),
            precision: recipe.precision(),
            device: device.clone(),
            teacher,
            micro: recipe.micro,
            workers: config.workers,
        };
        let start = match config.init.as_deref() {
            None => initial(&arch, recipe.seed),
            Some(folder) => checkpoint::inherit(folder, &arch)?,
        };
        let weights = upload(&arch, &start, &device);
        let optimiser = Optimiser::new(recipe.rule(), recipe.precision(), specs(&arch), &weights);
        let state = State { step: 0, seconds: 0.0, recipe, arch, extra: serde_json::Value::Null };
        let mut trainer =
            Self { average: weights.clone(), config, engine, weights, optimiser, state };
        let path = trainer.config.out.join("checkpoint.safetensors");
        if trainer.config.resume && path.exists() {
            let (state, mut tensors) =
                checkpoint::load(&path, &trainer.state.arch, &trainer.state.recipe)?;
            let mut take = |kind: &str| {
                let values = tensors.remove(kind).expect("load returns all four kinds");
                upload(&state.arch, &values, &device)
            };
            trainer.weights = take("weights");
            trainer.average = take("average");
            trainer.optimiser.first = take("first");
            trainer.optimiser.second = take("second");
            trainer.state = state;
        }
        Ok(trainer)
    }

    /// Steps done so far.
    pub fn step(&self) -> usize {
        self.state.step
    }

    /// Seconds of training so far.
    pub fn seconds(&self) -> f64 {
        self.state.seconds
    }

    /// The current weights, by tensor.
    pub fn weights(&self) -> Vec<Vec<f32>> {
        self.weights.iter().map(download).collect()
    }

    /// Trains until the epochs or the minutes are over, or until `steps` are done.
    ///
    /// # Errors
    /// [`Error::Diverged`] for a loss that is no number, [`Error::File`] when the disk refuses, [`Error::Paused`] when
    /// the slice is over; it has at least one step.
    pub fn run(&mut self, data: &DataSet, steps: Option<usize>) -> Result<(), Error> {
        let recipe = self.state.recipe.clone();
        let limit = if recipe.limit == 0 { usize::MAX } else { recipe.limit };
        let train = data.train.head(limit);
        let mut feed = Feed::new(&train, &recipe, &self.state.arch, self.config.workers);
        let (per_epoch, total) = (feed.per_epoch(), feed.total());
        let before = self.state.seconds;
        let clock = Instant::now();
        let mut window = Window::default();
        let mut pace = Pace::new(self.state.step, feed.batch());
        let mut saved = before;
        let paused = loop {
            self.state.seconds = before + clock.elapsed().as_secs_f64();
            let budget = self.config.minutes.map(|m| 60.0 * m);
            let by_clock = budget.map_or(0.0, |b| self.state.seconds / b);
            let step = self.state.step;
            let [progress, next] = [step, step + 1].map(|s| by_clock.max(s as f64 / total as f64));
            if progress >= 1.0 || steps.is_some_and(|s| step >= s) {
                break false;
            }
            if pace.steps() > 0 && self.config.until.is_some_and(|end| Instant::now() >= end) {
                break true;
            }
            let rate = recipe.rate(step, total, progress);
            let begun = Instant::now();
            let (loss, right) =
                feed.step(step, [progress, next], |batch| self.one_step(&batch, rate))?;
            pace.add(begun.elapsed().as_secs_f64(), loss);
            window.add(feed.batch(), loss, right, rate);
            if self.state.step.is_multiple_of(20) {
                let left = budget.map(|b| b - self.state.seconds);
                let epoch = step / per_epoch;
                eprint!("\r{}", window.progress(epoch, self.state.step, total, left));
            }
            let end_of_epoch = self.state.step.is_multiple_of(per_epoch);
            if end_of_epoch {
                self.report(&data.test, &window, per_epoch)?;
                window = Window::default();
            }
            if self.state.seconds - saved > CHECKPOINT_SECONDS[usize::from(end_of_epoch)] {
                self.save()?;
                saved = self.state.seconds;
            }
        };
        if !paused && steps.is_none() && window.images > 0 {
            self.report(&data.test, &window, per_epoch)?;
        }
        self.save()?;
        if !paused {
            return Ok(());
        }
        let line = pace.line(&crate::device::describe(&self.config.device), feed.speed());
        eprintln!("\n{line}");
        metrics::record(&self.config.out, &line)?;
        Err(Error::Paused { step: self.state.step, total })
    }

    /// One step over `batch`; returns its loss and how many were right.
    fn one_step(&mut self, batch: &Batch<'_>, rate: f32) -> Result<(f32, usize), Error> {
        let recipe = &self.state.recipe;
        let decay = recipe.decay;
        let loss = Loss { smoothing: recipe.smoothing, z: recipe.z };
        let draw = |i| {
            let words = [recipe.seed, 5, self.state.step as u64, i];
            Space::default().draw(&self.state.arch, &mut Rng::new(&words))
        };
        let micro = batch.samples.len() as u64;
        let drawn: Option<Vec<Arch>> = recipe.drawn.then(|| (0..micro).map(draw).collect());
        let form = drawn.as_deref().map_or(Form::Own, Form::Drawn);
        let got = self.engine.gradients(&self.weights, batch, loss, form);
        if !got.loss.is_finite() {
            return Err(Error::Diverged { step: self.state.step, loss: got.loss });
        }
        self.state.step += 1;
        let (step, weights) = (self.state.step, &mut self.weights);
        self.optimiser.step(weights, got.gradients, step, rate, decay);
        average::follow(&mut self.average, &self.weights, step);
        Ok((got.loss, got.correct))
    }

    /// Measures the average on the test images and adds it to the metrics.
    fn report(&mut self, test: &Split, window: &Window, per_epoch: usize) -> Result<(), Error> {
        let accuracy = self.engine.accuracy(&self.average, test);
        let line = window.line(self.state.step, self.state.seconds, accuracy);
        eprintln!("\n{line}");
        let arch = &self.state.arch;
        let title = format!("{}: {} parameters", arch.name, arch.parameters());
        metrics::append(&self.config.out, &line, &title, per_epoch)
    }

    /// Writes the checkpoint and the averaged model.
    fn save(&self) -> Result<(), Error> {
        let all = |tensors: &[Tensor<2>]| tensors.iter().map(download).collect::<Vec<_>>();
        let average = all(&self.average);
        checkpoint::export(&self.config.out, &self.state.arch, &average)?;
        let tensors: Tensors = [
            ("weights".to_owned(), all(&self.weights)),
            ("first".to_owned(), all(&self.optimiser.first)),
            ("second".to_owned(), all(&self.optimiser.second)),
            ("average".to_owned(), average),
        ]
        .into();
        let path = self.config.out.join("checkpoint.safetensors");
        checkpoint::save(&path, &self.state, &tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, resume: bool) -> Config {
        let out = std::env::temp_dir().join(format!("sotto-nas-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&out).unwrap();
        let line = "--data none --arch none --epochs 80 --batch 20 --micro 10 --smoothing 0 --lr 0.005 --decay 0 --out";
        let mut words: Vec<String> = line.split(' ').map(String::from).collect();
        words.push(out.to_str().unwrap().into());
        if resume {
            words.push("--resume".into());
        }
        Config::parse(words).unwrap()
    }

    fn arch() -> Arch {
        Arch::vit(2, 2, 16, 32, 32, 8, 10)
    }

    fn data() -> DataSet {
        DataSet::synthetic(40, 20)
    }

    #[test]
    fn a_small_model_learns_forty_pictures_and_teaches_them() {
        let first = config("overfit", false);
        let out = first.out.clone();
        Trainer::new(first, arch(), Device::flex()).unwrap().run(&data(), None).unwrap();
        let text = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert!(last["train_accuracy"].as_f64().unwrap() > 0.9, "{last}");
        let read =
            Arch::from_toml(&std::fs::read_to_string(out.join("arch.toml")).unwrap()).unwrap();
        assert_eq!(read, arch());
        let bytes = std::fs::read(out.join("weights.safetensors")).unwrap();
        let weights = sotto_models::Weights::from_bytes(&read, &bytes).unwrap();
        assert_eq!(weights.parameters(), arch().parameters());
        assert!(std::fs::read_to_string(out.join("curve.svg")).unwrap().contains("polyline"));

        // The trained model teaches another one with cheaper attention.
        let mut student = config("student", false);
        (student.teacher, student.recipe.distilled) = (Some(out.clone()), true);
        let arch = arch().with_attention(sotto_models::arch::Attention::Linear);
        let folder = student.out.clone();
        Trainer::new(student, arch, Device::flex()).unwrap().run(&data(), None).unwrap();
        let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert!(last["train_accuracy"].as_f64().unwrap() > 0.9, "{last}");
        std::fs::remove_dir_all(folder).unwrap();
        std::fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn a_resumed_run_ends_with_the_same_bits() {
        let whole = config("whole", false);
        let mut one = Trainer::new(whole, arch(), Device::flex()).unwrap();
        one.run(&data(), Some(9)).unwrap();
        let mut first = Trainer::new(config("parts", false), arch(), Device::flex()).unwrap();
        first.run(&data(), Some(5)).unwrap();
        let mut second = Trainer::new(config("parts", true), arch(), Device::flex()).unwrap();
        assert_eq!(second.step(), 5);
        second.run(&data(), Some(9)).unwrap();
        assert_eq!(one.weights(), second.weights());

        // Slices that are over at once: one step each, and one for what is left.
        for step in 1..=9 {
            let mut slice = config("slices", true);
            slice.until = Some(Instant::now());
            let mut trainer = Trainer::new(slice, arch(), Device::flex()).unwrap();
            assert_eq!(trainer.step(), step - 1);
            let steps = (step == 9).then_some(9);
            match trainer.run(&data(), steps) {
                Err(Error::Paused { step: at, total: 160 }) => {
                    assert_eq!((at, at < 9), (step, true))
                }
                Ok(()) => assert_eq!((step, trainer.weights()), (9, one.weights())),
                other => panic!("{other:?}"),
            }
        }
        let text = std::fs::read_to_string(config("slices", true).out.join("metrics.jsonl"));
        let text = text.unwrap();
        let line: serde_json::Value =
            serde_json::from_str(text.lines().find(|l| l.contains("slice")).unwrap()).unwrap();
        assert_eq!((&line["slice"]["from"], &line["slice"]["to"]), (&0.into(), &1.into()));
        let other = Arch::vit(2, 2, 16, 48, 32, 8, 10);
        let error =
            Trainer::new(config("parts", true), other, Device::flex()).err().unwrap().to_string();
        assert!(error.contains("is of architecture") && error.contains("another --out"), "{error}");
        for name in ["whole", "parts", "slices"] {
            std::fs::remove_dir_all(config(name, false).out).unwrap();
        }
    }
}
