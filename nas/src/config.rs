//! A run's command line and its defaults.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::Error;
use crate::blend::Strength;
use crate::options::{number, one_of};
use crate::presets::Preset;
use crate::recipe::Recipe;

/// How `sotto-nas train` is called.
pub const USAGE: &str = "\
usage: sotto-nas train --data PATH --arch PRESET|FILE.toml --out DIR [options]
  --data PATH       cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, the folder with their .bin
                    files, or the folder tiny-imagenet-200
  --arch A          vit_7_4_32 | vit_9_12_64 | vit_7_4_128 | vit_6_5_160 | vit_5_4_96 | vit_4_4_96 |
                    an arch.toml
  --preset P        mpcvit-cifar10 | mpcvit-cifar100 | mpcvit-tiny: sizes and recipe of MPCViT's paper, for a GPU
                    (--device cuda); options beside it override single settings
  --out DIR         receives arch.toml, weights.safetensors, calibration.toml, checkpoint, metrics.jsonl
  --teacher DIR     imitate the trained model in DIR (logits, and features where sizes agree)
  --init DIR        start from the weights of the trained model in DIR, whatever its kinds
  --epochs N        passes over the training set (20)
  --steps N         stop with a checkpoint after N steps in all; --resume goes on
  --slice SECONDS   stop with a checkpoint when the program has run so long; --resume goes on to the very numbers
  --minutes M       also end after M minutes of wall clock; the learning rate follows the clock
  --seed S          (1)
  --device D        cpu | libtorch | cuda | gpu (cpu); all but the first want a build with their feature
  --precision P     f32 | bf16, of the matrix products (f32)
  --optimiser O     muon | adamw (muon)
  --lr X --decay X --smoothing X --z X   peak learning rate (0.002), weight decay (0.05),
                    label smoothing (0.1), z-loss (0.0001)
  --schedule S      linear: warm-up of 200 steps, constant to 30 %, then on a line to zero
                    cosine: warm-up of 10 epochs, then half a cosine to 0.00001 (linear)
  --mixup P --cutmix P --erase P         shares of changed pictures (0), beyond crop and flip;
  --distort P                            the same by RandAugment; none in the last 15 % of the run
  --batch N --micro N --workers N        images per step (128), per micro-batch (32), threads (2)
  --limit N         use only the first N training images (0: all)
  --resume          go on from the checkpoint in DIR (--micro, --minutes and --mixup, --cutmix,
                    --erase, --distort may differ from before)

       sotto-nas eval --data PATH --out DIR [--device D] [--precision P]
  accuracy of DIR's exported model on the test images";

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
    /// Reads the words after `sotto-nas train`.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown or malformed option, or a missing one.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let mut config = Self {
            data: PathBuf::new(),
            arch: String::new(),
            out: PathBuf::new(),
            teacher: None,
            init: None,
            minutes: None,
            device: "cpu".into(),
            workers: 2,
            steps: None,
            until: None,
            preset: None,
            resume: false,
            recipe: Recipe {
                epochs: 20,
                seed: 1,
                lr: 2e-3,
                decay: 0.05,
                smoothing: 0.1,
                z: 1e-4,
                batch: 128,
                micro: 32,
                limit: 0,
                strength: Strength::default(),
                distilled: false,
                inherited: false,
                drawn: false,
                muon: true,
                cosine: false,
                bf16: false,
            },
        };
        let words: Vec<String> = words.into_iter().collect();
        config.preset = Preset::among(&words)?;
        if let Some(preset) = config.preset {
            config.arch = preset.arch.into();
            preset.apply(&mut config.recipe);
        }
        let mut words = words.into_iter();
        while let Some(name) = words.next() {
            if name == "--resume" {
                config.resume = true;
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| Error::Usage(format!("{name} wants a value\n{USAGE}")))?;
            config.set(&name, &value)?;
        }
        let wanted = [
            ("--data", config.data.as_os_str().is_empty()),
            ("--out", config.out.as_os_str().is_empty()),
        ];
        if let Some((name, _)) = wanted.iter().find(|w| w.1) {
            return Err(Error::Usage(format!("{name} is missing\n{USAGE}")));
        }
        if config.device == "gpu" && config.recipe.bf16 {
            let why = "--device gpu has no bfloat16 (WGSL does not): --precision f32";
            return Err(Error::Usage(why.into()));
        }
        Ok(config)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let recipe = &mut self.recipe;
        match name {
            "--data" => self.data = value.into(),
            "--arch" => self.arch = value.into(),
            // Taken before.
            "--preset" => {}
            "--steps" => self.steps = Some(number(name, value, 1, usize::MAX)?),
            "--slice" => {
                let seconds = number(name, value, 1e-3, 1e7)?;
                self.until = Some(Instant::now() + Duration::from_secs_f64(seconds));
            }
            "--schedule" => {
                recipe.cosine = one_of(name, value, &["linear", "cosine"])? == "cosine";
            }
            "--out" => self.out = value.into(),
            "--teacher" => (self.teacher, recipe.distilled) = (Some(value.into()), true),
            "--init" => (self.init, recipe.inherited) = (Some(value.into()), true),
            "--minutes" => self.minutes = Some(number(name, value, 0.01, 1e5)?),
            "--device" => self.device = one_of(name, value, &["cpu", "libtorch", "cuda", "gpu"])?,
            "--workers" => self.workers = number(name, value, 1, 256)?,
            "--epochs" => recipe.epochs = number(name, value, 1, 100_000)?,
            "--seed" => recipe.seed = number(name, value, 0, u64::MAX)?,
            "--lr" => recipe.lr = number(name, value, 1e-7, 1.0)?,
            "--decay" => recipe.decay = number(name, value, 0.0, 10.0)?,
            "--smoothing" => recipe.smoothing = number(name, value, 0.0, 0.9)?,
            "--z" => recipe.z = number(name, value, 0.0, 1.0)?,
            "--mixup" => recipe.strength.mixup = number(name, value, 0.0, 1.0)?,
            "--distort" => recipe.strength.distort = number(name, value, 0.0, 1.0)?,
            "--cutmix" => recipe.strength.cutmix = number(name, value, 0.0, 1.0)?,
            "--erase" => recipe.strength.erase = number(name, value, 0.0, 1.0)?,
            "--batch" => recipe.batch = number(name, value, 1, 65_536)?,
            "--micro" => recipe.micro = number(name, value, 1, 65_536)?,
            "--limit" => recipe.limit = number(name, value, 0, 10_000_000)?,
            "--optimiser" => recipe.muon = one_of(name, value, &["muon", "adamw"])? == "muon",
            "--precision" => recipe.bf16 = one_of(name, value, &["f32", "bf16"])? == "bf16",
            _ => return Err(Error::Usage(format!("unknown option {name}\n{USAGE}"))),
        }
        Ok(())
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
            ("--data d --arch a", "--out is missing"),
            ("--data d --arch a --out o --epochs x", "--epochs x"),
            ("--data d --arch a --out o --batch 0", "from 1 to 65536"),
            ("--data d --arch a --out o --device tpu", "cpu, libtorch, cuda, gpu"),
            ("--data d --arch a --out o --device gpu --precision bf16", "--precision f32"),
            ("--data d --arch a --out o --mixup 2", "from 0 to 1"),
            ("--data d --arch a --out o --fast 1", "unknown option --fast"),
            ("--data", "--data wants a value"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
