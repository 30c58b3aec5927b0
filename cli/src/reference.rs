//! `sotto reference`: a model in the clear, on this processor or a GPU.

mod report;

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use clap::Args;
use indicatif::ProgressBar;
use sotto_gpu::{
    Device, Precision, devices,
    measure::{self, Effort},
    program, result,
};
use sotto_models::{
    Model, Weights, files,
    float::{NoProbe, forward},
    model::{Input, Words},
    text::{self, Text},
};

use crate::{
    error::Error,
    model, print,
    samples::{Loaded, Samples, embedded},
};
pub use report::{Report, device_lines};

/// Words of a text of random ones, at most.
const RANDOM_WORDS: usize = 128;

/// What `sotto reference` is told.
#[derive(Args)]
pub struct Reference {
    /// `demo`, `vit_cifar` or `vit_tiny` (random weights), or a folder with arch.toml and weights.safetensors.
    #[arg(default_value = "demo")]
    model: PathBuf,
    /// `cpu`, `gpu`, `cuda`, or `list`, which tells what this program and this machine have.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What numbers are stored as: f32; f16 on a GPU that has it; bf16 on `cuda`. Sums are in f32 always.
    #[arg(long, default_value = "f32")]
    precision: Precision,
    /// Inputs at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Without images or texts, the embedded images or random words are taken.
    #[command(flatten)]
    samples: Samples,
    /// At most so many images or texts, whose results are held against the float reference.
    #[arg(long, default_value_t = 16)]
    limit: usize,
    /// Also each launch: its time for a batch, and what the device allows.
    #[arg(long)]
    profile: bool,
    /// Each time is that of one run: to see that all works.
    #[arg(long)]
    quick: bool,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

impl Reference {
    /// Runs the model and prints what was found.
    ///
    /// # Errors
    /// [`Error::Config`] for a device that is not there, or that has not the precision or the memory; whatever is wrong with
    /// the model's files or a sample.
    pub fn run(&self) -> Result<(), Error> {
        if self.device == "list" {
            let all = devices::list();
            return match self.json {
                true => print::json(&report::listed(&all)),
                false => device_lines(&all).into_iter().try_for_each(print::line),
            };
        }
        let device = devices::open(&self.device).map_err(Error::unusable)?;
        let loaded = self.load()?;
        let effort = if self.quick { Effort::QUICK } else { Effort::FULL };
        let asked = Asked { precision: self.precision, batch: self.batch as usize, effort };
        let bar = ProgressBar::new_spinner().with_message("reference");
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        let report = measured(&loaded, &*device, asked)?;
        bar.finish_and_clear();
        match self.json {
            true => print::json(&report.with_profile(self.profile)),
            false => report.lines(self.profile).into_iter().try_for_each(print::line),
        }
    }

    fn load(&self) -> Result<Loaded, Error> {
        let path = &self.model;
        let named = model::Model::is_named(path) && !path.exists();
        if !named && !self.samples.is_empty() {
            return self.samples.load(path, self.limit);
        }
        let (model, weights) = if named {
            let found = model::Model::find(path)?;
            (found.arch, found.weights)
        } else {
            let file = path.join("arch.toml");
            let model = Model::from_toml(&files::text(&file)?)?;
            let weights = Weights::load(&path.join("weights.safetensors"), &model)?;
            (model, weights)
        };
        let inputs = match &model.input {
            _ if !self.samples.is_empty() => {
                self.samples.inputs(path, &model, &weights, self.limit)?
            }
            Input::Pixels(pixels) => embedded(&model, pixels, self.limit)?,
            Input::Words(words) => random_texts(&model, words, &weights, self.limit)?,
            _ => {
                let name = &model.name;
                return Err(Error::Config(format!("`{name}` takes neither images nor texts")));
            }
        };
        if inputs.is_empty() {
            return Err(Error::Config("a limit of 0 leaves no input".into()));
        }
        Ok(Loaded { model, weights, inputs })
    }
}

/// Texts of random words, always the same ones.
fn random_texts(
    model: &Model,
    words: &Words,
    weights: &Weights,
    count: usize,
) -> Result<Vec<Vec<f32>>, Error> {
    let mut stream = sotto_crypto::Seed::from_bytes([3; 32]).stream(0);
    let length = words.positions.min(RANDOM_WORDS);
    let mut word = |_| (stream.unit() * words.vocabulary as f64) as u32;
    let texts =
        (0..count).map(|_| Text { words: (0..length).map(&mut word).collect(), kinds: Vec::new() });
    texts.map(|text| Ok(text::rows(model, weights, &text)?)).collect()
}

/// How a model is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What numbers are stored as.
    pub precision: Precision,
    /// Inputs at once.
    pub batch: usize,
    /// How much time the figures are worth.
    pub effort: Effort,
}

/// Runs every input on a device and in the float reference, and takes the times of the longest.
///
/// # Errors
/// [`Error::Config`].
pub fn measured(loaded: &Loaded, device: &dyn Device, asked: Asked) -> Result<Report, Error> {
    let Loaded { model, weights, inputs } = loaded;
    // Texts of a length share a program.
    let mut lengths: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, input) in inputs.iter().enumerate() {
        lengths.entry(model.rows_of(input)).or_default().push(at);
    }
    let mut results = vec![Vec::new(); inputs.len()];
    let mut longest = None;
    for (rows, at) in lengths {
        let program = program(model, weights, rows);
        let some: Vec<&[f32]> = at.iter().map(|&at| &inputs[at][..]).collect();
        let found = measure::results(device, &program, asked.precision, asked.batch, &some)
            .map_err(Error::unusable)?;
        for (&at, found) in at.iter().zip(found) {
            results[at] = result(model, found);
        }
        longest = Some((program, some[0]));
    }
    let (program, input) = longest.expect("there is an input");
    let Asked { precision, batch, effort } = asked;
    let times = measure::times(device, &program, precision, batch, input, effort)
        .map_err(Error::unusable)?;
    let start = Instant::now();
    let plain: Vec<Vec<f32>> =
        inputs.iter().map(|input| forward(model, weights, input, &mut NoProbe)).collect();
    let float = start.elapsed().as_secs_f64() / inputs.len() as f64;
    Ok(Report::new(model, device.info(), precision, &program, times, float, (results, plain)))
}
