//! A run's command line and its defaults.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Parser};

use crate::Error;
use crate::blend::Strength;
use crate::options::within;
use crate::presets::Preset;
use crate::recipe::Recipe;
use crate::vit::Precision;

/// The names that `--device` takes.
const DEVICES: [&str; 4] = ["cpu", "libtorch", "cuda", "gpu"];

/// Images of a micro-batch where nothing says otherwise.
const MICRO: usize = 32;

/// What a training, a search and a measurement share.
#[derive(Args, Debug, Clone)]
pub struct Run {
    /// cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, the folder with their .bin files, or the folder tiny-imagenet-200
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// The folder for arch.toml, weights.safetensors, calibration.toml, checkpoint and metrics.jsonl
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What computes; all but the first want a build with their feature
    #[arg(long, value_parser = DEVICES, default_value = "cpu")]
    pub device: String,
    /// Number type of matrix products
    #[arg(long, value_parser = ["f32", "bf16"], default_value = "f32")]
    pub precision: String,
    /// Images of a micro-batch: more at once take more memory (32, or the preset's)
    #[arg(long, value_name = "N", value_parser = within(1, 65_536_usize))]
    pub micro: Option<usize>,
    /// Threads
    #[arg(long, value_name = "N", value_parser = within(1, 256_usize), default_value = "2")]
    pub workers: usize,
}

impl Run {
    /// The number type of products.
    pub fn precision(&self) -> Precision {
        if self.precision == "bf16" { Precision::Bf16 } else { Precision::F32 }
    }

    /// Images of a micro-batch.
    pub fn micro(&self) -> usize {
        self.micro.unwrap_or(MICRO)
    }
}

/// What a training and a search share: sizes, and the recipe of each training.
#[derive(Args, Debug, Clone)]
pub struct Training {
    #[command(flatten)]
    pub(crate) run: Run,
    /// vit_7_4_32, vit_9_12_64, vit_7_4_128, vit_6_5_160, vit_5_4_96, vit_4_4_96 (layers, heads, width), or an arch.toml
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "preset")]
    arch: Option<String>,
    /// Sizes, recipe and epochs of MPCViT's paper, for a GPU; the options beside it override single settings
    #[arg(long, value_parser = Preset::parser())]
    pub(crate) preset: Option<&'static Preset>,
    /// Go on from the checkpoints in DIR, with the same options; --micro, --minutes and the shares of changed pictures may differ
    #[arg(long)]
    resume: bool,
    /// Stop with a checkpoint when the program has run so long; --resume goes on to the very numbers
    #[arg(long, value_name = "SECONDS", value_parser = within(1e-3, 1e7_f64))]
    slice: Option<f64>,
    /// Seed of weights, order and views
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Use only the first N training images; 0 for all
    #[arg(long, value_name = "N", value_parser = within(0, 10_000_000_usize), default_value = "0")]
    limit: usize,
    /// Images of a step (128)
    #[arg(long, value_name = "N", value_parser = within(1, 65_536_usize))]
    batch: Option<usize>,
    /// How matrices are learned (muon, or the preset's)
    #[arg(long, value_parser = ["muon", "adamw"])]
    optimiser: Option<String>,
    /// linear: a warm-up of 200 steps, constant to 30 %, then on a line to zero; cosine: a warm-up of 10 epochs, then half a
    /// cosine to 0.00001 (linear, or the preset's)
    #[arg(long, value_parser = ["linear", "cosine"])]
    schedule: Option<String>,
    /// Peak learning rate (0.002)
    #[arg(long, value_name = "X", value_parser = within(1e-7, 1.0_f32))]
    lr: Option<f32>,
    /// Weight decay (0.05)
    #[arg(long, value_name = "X", value_parser = within(0.0, 10.0_f32))]
    decay: Option<f32>,
    /// Label smoothing (0.1)
    #[arg(long, value_name = "X", value_parser = within(0.0, 0.9_f32))]
    smoothing: Option<f32>,
    /// Weight of the z-loss (0.0001)
    #[arg(long, value_name = "X", value_parser = within(0.0, 1.0_f32))]
    z: Option<f32>,
    /// Share of pictures that are added to another, beyond crop and flip, not in the last 15 % of a run (0)
    #[arg(long, value_name = "P", value_parser = within(0.0, 1.0_f32))]
    mixup: Option<f32>,
    /// The same, with a part of another
    #[arg(long, value_name = "P", value_parser = within(0.0, 1.0_f32))]
    cutmix: Option<f32>,
    /// The same, with a part erased
    #[arg(long, value_name = "P", value_parser = within(0.0, 1.0_f32))]
    erase: Option<f32>,
    /// The same, by RandAugment
    #[arg(long, value_name = "P", value_parser = within(0.0, 1.0_f32))]
    distort: Option<f32>,
}

/// Train a vision transformer that runs privately
#[derive(Parser, Debug, Clone)]
#[command(
    args_override_self = true,
    after_help = "\
A model for `sotto demo --model out`:
  sotto train --data cifar-10-binary.tar.gz --arch vit_7_4_128 --out out"
)]
pub struct Options {
    #[command(flatten)]
    training: Training,
    /// Passes over the training set (20, or the preset's)
    #[arg(long, value_name = "N", value_parser = within(1, 100_000_usize))]
    epochs: Option<usize>,
    /// Stop with a checkpoint after N steps in all; --resume goes on
    #[arg(long, value_name = "N", value_parser = within(1, usize::MAX))]
    steps: Option<usize>,
    /// Also end after so many minutes of wall clock; the learning rate follows the clock
    #[arg(long, value_name = "M", value_parser = within(0.01, 1e5_f64))]
    minutes: Option<f64>,
    /// Imitate the trained model in DIR: its logits, and its features where sizes agree
    #[arg(long, value_name = "DIR")]
    teacher: Option<PathBuf>,
    /// Start from the weights of the trained model in DIR, whatever its kinds
    #[arg(long, value_name = "DIR")]
    init: Option<PathBuf>,
}

/// Everything that the command line says.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data set.
    pub data: PathBuf,
    /// A preset's name or an architecture file.
    pub arch: String,
    /// Output folder.
    pub out: PathBuf,
    /// Folder of a trained model to imitate.
    pub teacher: Option<PathBuf>,
    /// Folder of a trained model whose weights are the first.
    pub init: Option<PathBuf>,
    /// Wall-clock budget.
    pub minutes: Option<f64>,
    /// Its name, as in [`find`](crate::device::find).
    pub device: String,
    /// Threads.
    pub workers: usize,
    /// Steps after which to stop for now.
    pub steps: Option<usize>,
    /// When to stop for now.
    pub until: Option<Instant>,
    /// The paper's recipe that the other options change.
    pub preset: Option<&'static Preset>,
    /// Whether to go on from a checkpoint.
    pub resume: bool,
    /// The rest.
    pub recipe: Recipe,
}

impl Config {
    /// What `sotto-nas train` is told.
    ///
    /// # Errors
    /// [`Error::Usage`] for options that do not go together.
    pub fn new(options: Options) -> Result<Self, Error> {
        let Options { training, epochs, steps, minutes, teacher, init } = options;
        let mut config = Self::of_training(training)?;
        config.recipe.epochs = epochs.unwrap_or(config.recipe.epochs);
        (config.recipe.distilled, config.recipe.inherited) = (teacher.is_some(), init.is_some());
        Ok(Self { steps, minutes, teacher, init, ..config })
    }

    /// What every training of a search is told.
    ///
    /// # Errors
    /// As [`Config::new`].
    pub(crate) fn of_training(training: Training) -> Result<Self, Error> {
        let Training { run, preset, .. } = training;
        let mut recipe = Recipe {
            epochs: 20,
            seed: training.seed,
            lr: 2e-3,
            decay: 0.05,
            smoothing: 0.1,
            z: 1e-4,
            batch: 128,
            micro: MICRO,
            limit: training.limit,
            strength: Strength::default(),
            distilled: false,
            inherited: false,
            drawn: false,
            muon: true,
            cosine: false,
            bf16: run.precision() == Precision::Bf16,
        };
        if let Some(preset) = preset {
            preset.apply(&mut recipe);
        }
        if run.device == "gpu" && recipe.bf16 {
            let why = "--device gpu has no bfloat16 (WGSL does not): --precision f32";
            return Err(Error::Usage(why.into()));
        }
        fn put<T>(setting: &mut T, told: Option<T>) {
            if let Some(told) = told {
                *setting = told;
            }
        }
        put(&mut recipe.batch, training.batch);
        put(&mut recipe.micro, run.micro);
        put(&mut recipe.lr, training.lr);
        put(&mut recipe.decay, training.decay);
        put(&mut recipe.smoothing, training.smoothing);
        put(&mut recipe.z, training.z);
        put(&mut recipe.muon, training.optimiser.map(|name| name == "muon"));
        put(&mut recipe.cosine, training.schedule.map(|name| name == "cosine"));
        let strength = &mut recipe.strength;
        put(&mut strength.mixup, training.mixup);
        put(&mut strength.cutmix, training.cutmix);
        put(&mut strength.erase, training.erase);
        put(&mut strength.distort, training.distort);
        let arch = training.arch.or_else(|| preset.map(|preset| preset.arch.to_owned()));
        Ok(Self {
            data: run.data,
            arch: arch.unwrap_or_default(),
            out: run.out,
            teacher: None,
            init: None,
            minutes: None,
            device: run.device,
            workers: run.workers,
            steps: None,
            until: training.slice.map(|s| Instant::now() + Duration::from_secs_f64(s)),
            preset,
            resume: training.resume,
            recipe,
        })
    }

    /// What `train` is told by these words.
    #[cfg(test)]
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let words = crate::options::testing::line(words);
        let options = Options::try_parse_from(words).map_err(|e| Error::Usage(e.to_string()))?;
        Self::new(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Config, Error> {
        Config::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn options_are_read_and_bad_ones_named() {
        let config =
            parse("--data d --arch a --out o --epochs 3 --minutes 1.5 --resume --optimiser adamw")
                .unwrap();
        assert_eq!(
            (config.recipe.epochs, config.minutes, config.resume, config.recipe.muon),
            (3, Some(1.5), true, false)
        );
        for (line, part) in [
            ("--data d --arch a", "--out <DIR>"),
            ("--data d --arch a --out o --epochs x", "'--epochs <N>': wants a number"),
            ("--data d --arch a --out o --batch 0", "from 1 to 65536"),
            ("--data d --arch a --out o --device tpu", "cpu, libtorch, cuda, gpu"),
            ("--data d --arch a --out o --device gpu --precision bf16", "--precision f32"),
            ("--data d --arch a --out o --mixup 2", "from 0 to 1"),
            ("--data d --arch a --out o --fast 1", "unexpected argument '--fast'"),
            ("--data", "value is required for '--data <PATH>'"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
