//! How `sotto-nas search` is called, and the part of it that a resumed search must agree with.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sotto_netsim::{Machine, Network, Objective};

use crate::Error;
use crate::config::Config;
use crate::options::{above_zero, number, one_of, seconds};
use crate::presets::Preset;
use crate::recipe::{Epochs, Recipe};

/// How `sotto-nas search` is called.
pub const USAGE: &str = "\
usage: sotto-nas search --data PATH --arch PRESET|FILE.toml --out DIR [options]
  --preset P        mpcvit-cifar10 | mpcvit-cifar100 | mpcvit-tiny: instead of --arch, sizes, recipe and epochs of
                    MPCViT's paper, for a GPU (--device cuda); other options override single settings
  --net N           lan, wan, another preset of `sotto simulate`, or a TOML file; repeat for
                    several networks (lan)
  --objective O     online | total: what a latency counts (online)
  --machine FILE    what the parties' machines can do, from `sotto calibrate-machine`
  --budget T        a latency such as 2.5s or 80ms; repeat for several
  --pareto N        instead: N budgets, evenly spread over what the network allows (3)
  --epochs N        passes to train each architecture (10)
  --seeds N         train baselines (not the random ones) and points so often, seed after seed; their mean counts (1)
  --teacher-epochs N --supernet-epochs N --search-epochs N
                    of the softmax teacher (30), of the weights that all architectures share (20)
                    and of each search (5)
  --search-lr X     learning rate of the weights during the search (0.0005)
  --alpha-lr X      of the shares (0.03)
  --polish N        small changes to judge with the shared weights for each budget, in each generation (200)
  --finalists N     architectures to train for each budget, the best of these (2)
  --generations N   after the first finalists, N - 1 times one more for each budget, chosen by what training said (2)
  --equal           instead: one budget for each baseline, its own latency, and one halfway between
                    the fastest of them and the fastest architecture of all
  --validate N      training images that nothing is trained on: the search chooses by them (5000)
  --margin T        stay below every budget by so much, such as 3ms: predictions are not exact (0s)
  --scratch         train each architecture from fresh weights, not from the shared ones
  --calibrate N     training images that the number format is calibrated on (256)
  --sotto PROGRAM   in the end measure every model privately with this `sotto` (`sotto search`: itself)
  --private N       test images for private accuracy (500); 0: measure nothing privately
  --repeats N       test images for the latency over each emulated network, more where they take little, in each
                    of three rounds (10)
  --slice SECONDS   stop with a checkpoint when the program has run so long
  --resume          go on where a killed or stopped search with the same options was
and of `sotto-nas train`: --device --precision --workers --micro --batch --seed --limit --lr --decay
--smoothing --z --mixup --cutmix --erase --distort --optimiser";

/// Relative difference of latencies that count as one.
const ALIKE: f64 = 0.02;

/// What is measured privately in the end. A resumed search may measure otherwise than before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// The `sotto` program; without one nothing is measured.
    pub sotto: Option<PathBuf>,
    /// Test images for private accuracy; with 0 nothing is measured.
    pub images: usize,
    /// Test images for the latency over each network.
    pub repeats: usize,
}

impl Measure {
    /// The program to measure with, where something is to be measured.
    pub fn program(&self) -> Option<&Path> {
        self.sotto.as_deref().filter(|_| self.images > 0)
    }
}

/// The settings that decide what a search finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Names or files of networks.
    pub networks: Vec<String>,
    /// `online` or `total`.
    pub objective: String,
    /// A machine profile's file; none for the reference machine.
    pub machine: Option<String>,
    /// Budgets in seconds; empty for [`Settings::pareto`].
    pub budgets: Vec<f64>,
    /// Number of budgets to spread.
    pub pareto: usize,
    /// Whether the budgets are the baselines' latencies, and one below.
    pub equal: bool,
    /// Training images kept apart to choose by.
    #[serde(default)]
    pub validate: usize,
    /// Seconds by which what is found stays below its budget.
    #[serde(default)]
    pub margin: f64,
    /// Passes.
    pub epochs: Epochs,
    /// Learning rate of the weights during the search.
    pub search_lr: f32,
    /// Learning rate of the shares.
    pub alpha_lr: f64,
    /// Small changes to judge for each budget.
    pub polish: usize,
    /// Architectures to train for each budget.
    pub finalists: usize,
    /// How often finalists are named.
    pub generations: usize,
    /// Trainings of each baseline and each point.
    pub seeds: u64,
    /// Whether architectures are trained from fresh weights.
    pub scratch: bool,
    /// Images to calibrate on.
    pub calibrate: usize,
    /// What is measured.
    pub measure: Measure,
    /// Everything that training shares.
    pub recipe: Recipe,
}

impl Settings {
    /// Reads the words after `sotto-nas search`.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown or malformed option, or a missing one.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<(Self, Config), Error> {
        let mut settings = Self {
            networks: Vec::new(),
            objective: "online".into(),
            machine: None,
            budgets: Vec::new(),
            pareto: 3,
            equal: false,
            validate: 5000,
            margin: 0.0,
            epochs: Epochs { teacher: 30, supernet: 20, search: 5, train: 10 },
            search_lr: 5e-4,
            alpha_lr: 0.03,
            polish: 200,
            finalists: 2,
            generations: 2,
            seeds: 1,
            scratch: false,
            calibrate: 256,
            measure: Measure { sotto: None, images: 500, repeats: 10 },
            recipe: Config::parse(["--data", "-", "--out", "-"].map(String::from))?.recipe,
        };
        let mut rest = Vec::new();
        let words: Vec<String> = words.into_iter().collect();
        if let Some(preset) = Preset::among(&words)? {
            settings.epochs = preset.search_epochs();
        }
        let mut words = words.into_iter();
        while let Some(name) = words.next() {
            match name.as_str() {
                "--scratch" => settings.scratch = true,
                "--equal" => settings.equal = true,
                "--resume" => rest.push(name),
                _ => {
                    let value = words
                        .next()
                        .ok_or_else(|| Error::Usage(format!("{name} wants a value\n{USAGE}")))?;
                    if !settings.set(&name, &value)? {
                        rest.extend([name, value]);
                    }
                }
            }
        }
        let config = Config::parse(rest).map_err(|e| match e {
            Error::Usage(text) => {
                let first = text.lines().next().unwrap_or_default();
                Error::Usage(format!("{first}\n{USAGE}"))
            }
            other => other,
        })?;
        let alien = [config.teacher.is_some(), config.init.is_some(), config.minutes.is_some()];
        if alien.contains(&true) || config.steps.is_some() {
            let why = "a search makes its own teacher and first weights, and counts in epochs";
            return Err(Error::Usage(format!("{why}\n{USAGE}")));
        }
        if settings.networks.is_empty() {
            settings.networks.push("lan".into());
        }
        settings.recipe = config.recipe.clone();
        Ok((settings, config))
    }

    /// Takes an option of the search's own; false for others.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, Error> {
        match name {
            "--net" => self.networks.push(value.into()),
            "--objective" => self.objective = one_of(name, value, &["online", "total"])?,
            "--machine" => self.machine = Some(value.into()),
            "--budget" => self.budgets.push(above_zero(name, value)?),
            "--margin" => self.margin = seconds(name, value)?,
            "--pareto" => self.pareto = number(name, value, 1, 64)?,
            "--epochs" => self.epochs.train = number(name, value, 1, 100_000)?,
            "--teacher-epochs" => self.epochs.teacher = number(name, value, 1, 100_000)?,
            "--supernet-epochs" => self.epochs.supernet = number(name, value, 1, 100_000)?,
            "--search-epochs" => self.epochs.search = number(name, value, 1, 100_000)?,
            "--search-lr" => self.search_lr = number(name, value, 1e-7, 1.0)?,
            "--alpha-lr" => self.alpha_lr = number(name, value, 1e-7, 10.0)?,
            "--sotto" => self.measure.sotto = Some(value.into()),
            "--private" => self.measure.images = number(name, value, 0, 10_000)?,
            "--repeats" => self.measure.repeats = number(name, value, 1, 10_000)?,
            "--validate" => self.validate = number(name, value, 1, 1_000_000)?,
            "--polish" => self.polish = number(name, value, 0, 1_000_000)?,
            "--finalists" => self.finalists = number(name, value, 1, 1000)?,
            "--generations" => self.generations = number(name, value, 1, 100)?,
            "--seeds" => self.seeds = number(name, value, 1, 100)?,
            "--calibrate" => self.calibrate = number(name, value, 1, 50_000)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The networks.
    ///
    /// # Errors
    /// [`Error::Usage`] for one that does not exist, [`Error::File`] for a file that cannot be read.
    pub fn networks(&self) -> Result<Vec<Network>, Error> {
        let wrong = |e: sotto_netsim::Error| Error::Usage(e.to_string());
        let one = |name: &String| match Path::new(name).extension() {
            None => Network::preset(name).map_err(wrong),
            Some(_) => {
                let text = std::fs::read_to_string(name).map_err(|e| Error::file(name, e))?;
                Network::from_toml(&text).map_err(wrong)
            }
        };
        self.networks.iter().map(one).collect()
    }

    /// The parties' machine.
    ///
    /// # Errors
    /// [`Error::Usage`] for a profile that is none.
    pub fn machine(&self) -> Result<Machine, Error> {
        match &self.machine {
            None => Ok(Machine::reference()),
            Some(path) => {
                Machine::load(Path::new(path)).map_err(|e| Error::Usage(format!("{path}: {e}")))
            }
        }
    }

    /// What a latency counts.
    pub fn objective(&self) -> Objective {
        if self.objective == "total" { Objective::Total } else { Objective::Online }
    }

    /// The budgets where latencies go from `low` to `high` and baselines take `equal`: the given
    /// ones, the baselines' and one below them, or those that cut the range in equal parts.
    pub fn budgets(&self, (low, high): (f64, f64), equal: &[f64]) -> Vec<f64> {
        if !self.budgets.is_empty() {
            return self.budgets.clone();
        }
        if self.equal {
            let mut budgets = equal.to_vec();
            budgets.sort_by(f64::total_cmp);
            // A point that beats the faster of two alike beats the other too.
            budgets.dedup_by(|next, kept| *next < *kept * (1.0 + ALIKE));
            // Where no baseline is, the front goes on.
            budgets.extend(budgets.first().map(|fastest| (low + fastest) / 2.0));
            return budgets;
        }
        let parts = self.pareto as f64 + 1.0;
        (1..=self.pareto).map(|i| low + (high - low) * i as f64 / parts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(Settings, Config), Error> {
        Settings::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn options_go_to_the_search_or_to_training() {
        let (settings, config) = parse(
            "--data d --arch a --out o --net lan --net wan --budget 2.5s --budget 80ms --epochs 3 \
             --precision bf16 --search-epochs 2 --resume --cutmix 0.3 --margin 3ms",
        )
        .unwrap();
        assert_eq!(settings.networks().unwrap().len(), 2);
        assert_eq!(settings.budgets((0.0, 1.0), &[]), [2.5, 0.08]);
        assert_eq!((settings.epochs.train, settings.epochs.search), (3, 2));
        assert_eq!(settings.margin, 0.003);
        assert!(config.resume && settings.recipe.bf16 && settings.recipe.strength.cutmix == 0.3);
        let program = |line: &str| parse(line).unwrap().0.measure.program().map(Path::to_path_buf);
        assert_eq!(program("--data d --out o --sotto s"), Some("s".into()));
        assert_eq!(program("--data d --out o --sotto s --private 0"), None);
        for (line, part) in [
            ("--data d --out o --budget 0s", "above zero"),
            ("--data d --out o --margin -1ms", "--margin -1ms: wants a time"),
            ("--data d --out o --objective both", "online, total"),
            ("--data d --out o --fast 1", "unknown option --fast"),
            ("--data d --out o --teacher t", "makes its own teacher"),
            ("--data d", "--out is missing"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
        let (settings, _) = parse("--data d --out o --net lna").unwrap();
        assert!(settings.networks().unwrap_err().to_string().contains("intercontinental"));
    }

    #[test]
    fn budgets_cut_the_range_in_equal_parts() {
        let (settings, _) = parse("--data d --out o --pareto 4").unwrap();
        let budgets = settings.budgets((1.0, 2.0), &[]);
        assert!(budgets.iter().zip([1.2, 1.4, 1.6, 1.8]).all(|(a, b)| (a - b).abs() < 1e-12));
        let (settings, _) = parse("--data d --out o --equal").unwrap();
        assert_eq!(settings.budgets((1.0, 2.0), &[1.9, 1.51, 1.5, 1.2]), [1.2, 1.5, 1.9, 1.1]);
    }
}
