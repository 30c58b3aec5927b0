//! The search itself: a supernet that runs a mixture of all options at every site, and learns its
//! weights and its shares together, ever more pressed for latency.
//!
//! Its forward pass uses the shares as they are; in a growing part of the steps it uses one drawn
//! option a site instead, and the shares get the gradient straight through, so that in the end the
//! weights have met what will be chosen. One run yields an architecture for every budget.

mod progress;
mod shares;

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Tensor;

pub use self::progress::{Found, Goal, Progress};
use crate::augment::Rng;
use crate::checkpoint::{self, State, Tensors};
use crate::data::Split;
use crate::engine::{Engine, Form, Loss};
use crate::feed::{Batch, Feed};
use crate::optim::Optimiser;
use crate::recipe::Recipe;
use crate::search::schedule::Pressure;
use crate::search::space::{Alphas, Space, Table, corner, draw};
use crate::vit::Mixture;
use crate::weights::{download, matrix, specs, upload};
use crate::{Error, metrics::Window};

/// Seconds between checkpoints.
const CHECKPOINT_SECONDS: f64 = 60.0;
/// Share of the steps that draw one option a site, at the end of the run; it grows from zero.
const DRAWN: f64 = 0.8;

/// A search in memory.
pub struct Search<'a> {
    folder: PathBuf,
    engine: Engine,
    space: Space,
    goal: Goal<'a>,
    rate: f64,
    weights: Vec<Tensor<2>>,
    optimiser: Optimiser,
    state: State,
    progress: Progress,
    /// When to stop for now.
    pub until: Option<Instant>,
}

impl<'a> Search<'a> {
    /// A search from the weights in `start`, or the one whose checkpoint lies in `folder`.
    /// `rate` moves the parameters of the shares.
    ///
    /// # Errors
    /// As [`checkpoint::load`] and [`checkpoint::inherit`].
    pub fn new(
        folder: PathBuf,
        engine: Engine,
        recipe: Recipe,
        start: &std::path::Path,
        space: Space,
        (alphas, rate): (Alphas, f64),
        (goal, pressure): (Goal<'a>, Pressure),
    ) -> Result<Self, Error> {
        let arch = engine.arch.clone();
        let path = folder.join("checkpoint.safetensors");
        let zero: Table = alphas.values.iter().map(|s| vec![0.0; s.len()]).collect();
        let progress =
            Progress { first: zero.clone(), second: zero, alphas, pressure, found: Vec::new() };
        let broken = |e: serde_json::Error| Error::Checkpoint(format!("{}: {e}", path.display()));
        let (state, tensors, progress) = if path.exists() {
            let (state, tensors) = checkpoint::load(&path, &arch, &recipe)?;
            let progress = serde_json::from_value(state.extra.clone()).map_err(broken)?;
            (state, Some(tensors), progress)
        } else {
            let extra = serde_json::Value::Null;
            (State { step: 0, seconds: 0.0, recipe: recipe.clone(), arch, extra }, None, progress)
        };
        let device = engine.device.clone();
        let on_device = |values: &[Vec<f32>]| upload(&engine.arch, values, &device);
        let weights = match &tensors {
            Some(tensors) => on_device(&tensors["weights"]),
            None => on_device(&checkpoint::inherit(start, &engine.arch)?),
        };
        let specs = specs(&engine.arch);
        let mut optimiser = Optimiser::new(recipe.rule(), recipe.precision(), specs, &weights);
        if let Some(tensors) = &tensors {
            optimiser.first = on_device(&tensors["first"]);
            optimiser.second = on_device(&tensors["second"]);
        }
        let until = None;
        Ok(Self { folder, engine, space, goal, rate, weights, optimiser, state, progress, until })
    }

    /// Searches until the epochs are over or every budget is met; budgets that were not met are
    /// then met with the shares as they are. With `steps` it ends after so many, for now.
    ///
    /// # Errors
    /// [`Error::Diverged`] for a loss that is no number, [`Error::File`] when the disk refuses,
    /// [`Error::Arch`] when no architecture of the space is as fast as a budget asks, [`Error::Paused`] when the slice is
    /// over; it has at least one step.
    pub fn run(&mut self, train: &Split, steps: Option<usize>) -> Result<&Progress, Error> {
        let all = match self.state.recipe.limit {
            0 => usize::MAX,
            limit => limit,
        };
        let train = &train.head(all);
        let recipe = self.state.recipe.clone();
        let mut feed = Feed::new(train, &recipe, &self.state.arch, self.engine.workers);
        let (total, from) = (feed.total(), self.state.step);
        let clock = Instant::now();
        let before = self.state.seconds;
        let mut saved = before;
        let mut window = Window::default();
        while self.state.step < total && !self.over() {
            let step = self.state.step;
            if steps.is_some_and(|s| step >= s) {
                self.save()?;
                return Ok(&self.progress);
            }
            if step > from && self.until.is_some_and(|end| Instant::now() >= end) {
                self.save()?;
                return Err(Error::Paused { step, total });
            }
            let progress = [step, step + 1].map(|s| s as f64 / total as f64);
            let (loss, right) =
                feed.step(step, progress, |batch| self.one_step(&batch, progress[0]))?;
            window.add(feed.batch(), loss, right, recipe.lr);
            self.state.seconds = before + clock.elapsed().as_secs_f64();
            if self.state.step.is_multiple_of(10) {
                let epoch = step / feed.per_epoch();
                let line = window.progress(epoch, self.state.step, total, None);
                eprint!("\r{}{}", line.trim_end(), self.told());
            }
            if self.state.seconds - saved > CHECKPOINT_SECONDS {
                self.save()?;
                saved = self.state.seconds;
                window = Window::default();
            }
        }
        while let Some(budget) = self.progress.pressure.budget() {
            self.progress.pressure.meets(f64::NEG_INFINITY);
            self.take(budget)?;
        }
        eprintln!();
        self.save()?;
        Ok(&self.progress)
    }

    /// Steps done so far.
    pub fn step(&self) -> usize {
        self.state.step
    }

    fn over(&self) -> bool {
        matches!(self.goal, Goal::Latency { .. }) && self.progress.pressure.budget().is_none()
    }

    fn told(&self) -> String {
        match &self.goal {
            Goal::First(_) => String::new(),
            Goal::Latency { latencies, .. } => {
                let expected = latencies.expected(&self.progress.alphas.shares()).0;
                let next = self.progress.pressure.budget();
                let next = next.map_or("none".into(), |b| format!("{b:.4} s"));
                let lambda = self.progress.pressure.lambda;
                format!(", latency {expected:.4} s, next budget {next}, lambda {lambda:.3}   ")
            }
        }
    }

    fn one_step(&mut self, batch: &Batch<'_>, progress: f64) -> Result<(f32, usize), Error> {
        let recipe = self.state.recipe.clone();
        let loss = Loss { smoothing: recipe.smoothing, z: recipe.z };
        let shares = self.progress.alphas.shares();
        let mut rng = Rng::new(&[recipe.seed, 6, self.state.step as u64]);
        let run = if rng.unit() < DRAWN * progress && matches!(self.goal, Goal::Latency { .. }) {
            corner(&self.space.sites(&self.state.arch), &draw(&shares, &mut rng))
        } else {
            shares.clone()
        };
        let mixture = self.mixture(&run);
        let form = Form::Mixed(&mixture);
        let mut got = self.engine.gradients(&self.weights, batch, loss, form);
        if !got.loss.is_finite() {
            return Err(Error::Diverged { step: self.state.step, loss: got.loss });
        }
        let mlps = download(&got.gradients.pop().expect("a mixture's MLPs"));
        let heads = download(&got.gradients.pop().expect("a mixture's heads"));
        let rows = |values: Vec<f32>, n: usize| -> Table {
            values.chunks(n).map(|r| r.iter().map(|&v| f64::from(v)).collect()).collect()
        };
        let mut gradient = rows(heads, self.space.kinds.len());
        gradient.extend(rows(mlps, self.space.activations.len()));
        self.press(&shares, &mut gradient, progress)?;

        self.state.step += 1;
        let (step, rate, decay) = (self.state.step, recipe.lr, recipe.decay);
        let warm = rate * (step as f32 / 50.0).min(1.0);
        self.optimiser.step(&mut self.weights, got.gradients, step, warm, decay);
        self.follow(&self.progress.alphas.pull_back(&shares, &gradient));
        Ok((got.loss, got.correct))
    }

    fn mixture(&self, shares: &Table) -> Mixture {
        let (heads, mlps) = shares.split_at(self.state.arch.layers * self.state.arch.heads);
        let upload = |rows: &[Vec<f64>]| {
            let values = rows.iter().flatten().map(|&v| v as f32).collect();
            matrix(values, [rows.len(), rows[0].len()], &self.engine.device)
        };
        Mixture {
            kinds: self.space.kinds.clone(),
            activations: self.space.activations.clone(),
            heads: upload(heads),
            mlps: upload(mlps),
        }
    }

    fn save(&mut self) -> Result<(), Error> {
        let all = |tensors: &[Tensor<2>]| tensors.iter().map(download).collect::<Vec<_>>();
        let weights = all(&self.weights);
        let tensors: Tensors = [
            ("average".to_owned(), weights.clone()),
            ("weights".to_owned(), weights),
            ("first".to_owned(), all(&self.optimiser.first)),
            ("second".to_owned(), all(&self.optimiser.second)),
        ]
        .into();
        self.state.extra =
            serde_json::to_value(&self.progress).expect("numbers and lists always serialise");
        let path = self.folder.join("checkpoint.safetensors");
        checkpoint::save(&path, &self.state, &tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::latency::standin::Standin;
    use crate::search::latency::{Latencies, Oracle as _};
    use crate::search::space::Relaxation;
    use crate::vit::Precision;
    use crate::weights::initial;
    use sotto_models::Arch;

    fn recipe() -> Recipe {
        let words =
            ["--data", "-", "--out", "-", "--epochs", "30", "--batch", "10", "--micro", "5"];
        crate::config::Config::parse(words.map(String::from)).unwrap().recipe
    }

    /// A search of two layers on forty pictures, with its latency stand-in.
    fn with_search<T>(name: &str, budgets: &[f64], work: impl FnOnce(&mut Search<'_>) -> T) -> T {
        let folder = std::env::temp_dir().join(format!("sotto-nas-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let arch = Arch::vit(2, 2, 16, 32, 32, 8, 10);
        checkpoint::export(&folder, &arch, &initial(&arch, 1)).unwrap();
        let engine = Engine {
            arch: arch.clone(),
            precision: Precision::F32,
            teacher: None,
            device: burn::tensor::Device::flex(),
            micro: 5,
            workers: 2,
        };
        let space = Space::default();
        let latencies = Latencies::new(&space, &arch, &Standin).unwrap();
        let (low, high) = latencies.range();
        let budgets = budgets.iter().map(|b| low + b * (high - low)).collect();
        let alphas = (Alphas::new(&space.sites(&arch), Relaxation::Softmax), 0.05);
        let goal = Goal::Latency { oracle: &Standin, latencies: &latencies };
        let goal = (goal, Pressure::new(0.3, budgets));
        let start = folder.clone();
        let mut search =
            Search::new(folder, engine, recipe(), &start, space, alphas, goal).unwrap();
        work(&mut search)
    }

    fn clear(name: &str) {
        let folder = std::env::temp_dir().join(format!("sotto-nas-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn pressure_meets_every_budget_within_the_run_and_latency_falls() {
        let split = Split::synthetic(40);
        with_search("explore", &[0.7, 0.4], |search| {
            let progress = search.run(&split, None).unwrap();
            assert_eq!(progress.found.len(), 2);
            for found in &progress.found {
                assert!(found.latency <= found.budget, "{found:?}");
                assert_eq!(found.latency, Standin.latency(&found.arch).unwrap());
            }
            assert!(progress.found[0].budget > progress.found[1].budget);
            assert!(progress.found[0].step < progress.found[1].step);
            assert!(search.step() < 120, "the schedule ended the run, not the epochs");
        });
        clear("explore");
    }

    #[test]
    fn a_resumed_search_is_where_the_whole_one_is() {
        let split = Split::synthetic(40);
        let whole = with_search("explore-whole", &[0.1], |search| {
            search.run(&split, Some(12)).unwrap().clone()
        });
        with_search("explore-parts", &[0.1], |search| {
            search.run(&split, Some(7)).unwrap();
        });
        let parts = with_search("explore-parts", &[0.1], |search| {
            assert_eq!(search.step(), 7);
            search.run(&split, Some(12)).unwrap().clone()
        });
        assert_eq!(whole, parts);
        clear("explore-whole");
        clear("explore-parts");
    }
}
