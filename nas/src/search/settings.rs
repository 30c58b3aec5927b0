//! How `sotto-nas search` is called, and the part of it that a resumed search must agree with.

use std::path::{Path, PathBuf};

use clap::Parser;
use serde::{Deserialize, Serialize};
use sotto_netsim::{Machine, Network};

use crate::Error;
use crate::config::{Config, Training};
use crate::options::{above_zero, seconds, within};
use crate::presets::Preset;
use crate::recipe::{Epochs, Recipe};
use crate::search::simulator::Objective;

/// Search architectures whose private inference stays within latency budgets, and train them
#[derive(Parser, Debug, Clone)]
#[command(
    args_override_self = true,
    after_help = "\
Models beside the baselines, each at a baseline's latency over `wan`, with a report in out/report.html:
  sotto search --data cifar-10-binary.tar.gz --arch vit_5_4_96 --net wan --equal --out out"
)]
pub struct Options {
    #[command(flatten)]
    training: Training,
    /// lan, wan, another preset of `sotto simulate`, or a TOML file; repeat for several networks (lan)
    #[arg(long, value_name = "NET")]
    net: Vec<String>,
    /// What a latency counts
    #[arg(long, value_parser = ["online", "total"], default_value = "online")]
    objective: String,
    /// What the parties' machines can do, from `sotto calibrate-machine`
    #[arg(long, value_name = "FILE")]
    machine: Option<String>,
    /// A latency such as 2.5s or 80ms; repeat for several
    #[arg(long, value_name = "T", value_parser = above_zero)]
    budget: Vec<f64>,
    /// Instead of --budget: N budgets, evenly spread over what the network allows
    #[arg(long, value_name = "N", value_parser = within(1, 64_usize), default_value = "3")]
    pareto: usize,
    /// Instead of --budget: one for each baseline, its own latency, and one halfway between the fastest of them and the
    /// fastest architecture of all
    #[arg(long)]
    equal: bool,
    /// Stay below every budget by so much, such as 3ms: predictions are not exact
    #[arg(long, value_name = "T", value_parser = seconds, default_value = "0s", allow_hyphen_values = true)]
    margin: f64,
    /// Passes to train each architecture (10, or the preset's)
    #[arg(long, value_name = "N", value_parser = within(1, 100_000_usize))]
    epochs: Option<usize>,
    /// Passes to train the softmax teacher (30, or the preset's)
    #[arg(long, value_name = "N", value_parser = within(1, 100_000_usize))]
    teacher_epochs: Option<usize>,
    /// Passes to train the weights that all architectures share (20, or the preset's)
    #[arg(long, value_name = "N", value_parser = within(1, 100_000_usize))]
    supernet_epochs: Option<usize>,
    /// Passes of each search (5, or the preset's)
    #[arg(long, value_name = "N", value_parser = within(1, 100_000_usize))]
    search_epochs: Option<usize>,
    /// Learning rate of the weights during the search
    #[arg(long, value_name = "X", value_parser = within(1e-7, 1.0_f32), default_value = "0.0005")]
    search_lr: f32,
    /// Learning rate of the shares of options
    #[arg(long, value_name = "X", value_parser = within(1e-7, 10.0_f64), default_value = "0.03")]
    alpha_lr: f64,
    /// Small changes to judge with the shared weights for each budget, in each generation
    #[arg(long, value_name = "N", value_parser = within(0, 1_000_000_usize), default_value = "200")]
    polish: usize,
    /// Architectures to train for each budget, the best of these
    #[arg(long, value_name = "N", value_parser = within(1, 1000_usize), default_value = "2")]
    finalists: usize,
    /// After the first finalists, N - 1 times one more for each budget, chosen by what training said
    #[arg(long, value_name = "N", value_parser = within(1, 100_usize), default_value = "2")]
    generations: usize,
    /// Train baselines (not the random ones) and points so often, seed after seed; their mean counts
    #[arg(long, value_name = "N", value_parser = within(1, 100_u64), default_value = "1")]
    seeds: u64,
    /// Training images that nothing is trained on: the search chooses by them
    #[arg(long, value_name = "N", value_parser = within(1, 1_000_000_usize), default_value = "5000")]
    validate: usize,
    /// Train each architecture from fresh weights, not from the shared ones
    #[arg(long)]
    scratch: bool,
    /// Training images that the number format is calibrated on
    #[arg(long, value_name = "N", value_parser = within(1, 50_000_usize), default_value = "256")]
    calibrate: usize,
    /// In the end measure every model privately with this `sotto` (`sotto search`: itself)
    #[arg(long, value_name = "PROGRAM")]
    sotto: Option<PathBuf>,
    /// Test images for private accuracy; 0: measure nothing privately
    #[arg(long, value_name = "N", value_parser = within(0, 10_000_usize), default_value = "500")]
    private: usize,
    /// Test images for the latency over each emulated network, more where they take little, in each of three rounds
    #[arg(long, value_name = "N", value_parser = within(1, 10_000_usize), default_value = "10")]
    repeats: usize,
}

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
    /// What `sotto-nas search` is told, for the search and for its trainings.
    ///
    /// # Errors
    /// [`Error::Usage`] for options that do not go together.
    pub fn new(options: Options) -> Result<(Self, Config), Error> {
        let usual = Epochs { teacher: 30, supernet: 20, search: 5, train: 10 };
        let epochs = options.training.preset.map_or(usual, Preset::search_epochs);
        let config = Config::of_training(options.training)?;
        let none = options.net.is_empty().then(|| "lan".to_owned());
        let settings = Self {
            networks: options.net.into_iter().chain(none).collect(),
            objective: options.objective,
            machine: options.machine,
            budgets: options.budget,
            pareto: options.pareto,
            equal: options.equal,
            validate: options.validate,
            margin: options.margin,
            epochs: Epochs {
                teacher: options.teacher_epochs.unwrap_or(epochs.teacher),
                supernet: options.supernet_epochs.unwrap_or(epochs.supernet),
                search: options.search_epochs.unwrap_or(epochs.search),
                train: options.epochs.unwrap_or(epochs.train),
            },
            search_lr: options.search_lr,
            alpha_lr: options.alpha_lr,
            polish: options.polish,
            finalists: options.finalists,
            generations: options.generations,
            seeds: options.seeds,
            scratch: options.scratch,
            calibrate: options.calibrate,
            measure: Measure {
                sotto: options.sotto,
                images: options.private,
                repeats: options.repeats,
            },
            recipe: config.recipe.clone(),
        };
        Ok((settings, config))
    }

    /// What `search` is told by these words.
    #[cfg(test)]
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<(Self, Config), Error> {
        let words = crate::options::testing::line(words);
        let options = Options::try_parse_from(words).map_err(|e| Error::Usage(e.to_string()))?;
        Self::new(options)
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
            ("--data d --out o --margin -1ms", "'--margin <T>': wants a time"),
            ("--data d --out o --objective both", "online, total"),
            ("--data d --out o --fast 1", "unexpected argument '--fast'"),
            ("--data d --out o --teacher t", "unexpected argument '--teacher'"),
            ("--data d", "--out <DIR>"),
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
