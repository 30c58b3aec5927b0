//! What `sotto calibrate` is told and prints.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tracing::Level;

use super::{Calibrated, LEAST, TextCost, calibrate, thin, too_far, wanted};
use crate::{error::Error, model, print, progress, samples::Samples};

/// What `sotto calibrate` is told.
#[derive(Args)]
pub struct Calibrate {
    /// Folder with arch.toml and weights.safetensors, and of a model of texts tokenizer.json.
    model: PathBuf,
    #[command(flatten)]
    samples: Samples,
    /// At most so many.
    #[arg(long, visible_alias = "limit", default_value_t = 512)]
    count: usize,
    #[arg(long, help = force())]
    force: bool,
    /// What was found as one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

fn force() -> String {
    format!(
        "Takes fewer than {LEAST} images or texts, which are refused without, and private results that differ from plain ones"
    )
}

/// Examples, with how many samples are wanted.
pub fn examples() -> String {
    format!(
        "Examples, with {} and {}:
  sotto calibrate vit --images photos --resize
  sotto calibrate minilm --text sentences.txt
  sotto check minilm --text others.txt",
        wanted("images"),
        wanted("texts")
    )
}

/// The JSON object.
#[derive(Serialize)]
struct Found<'a> {
    model: String,
    /// The file that was written.
    calibration: String,
    calibrated_on: usize,
    /// `images` or `texts`.
    what: &'static str,
    /// By what factor a tensor may exceed its range before results are wrong.
    margin: f64,
    /// By what factor all samples exceed the first half of them, in which tensor.
    grown: Grown<'a>,
    /// How far private results are from plain ones, as a share of these.
    difference: f64,
    /// The first tensor that is too far, where it was taken by force.
    #[serde(skip_serializing_if = "Option::is_none")]
    far: Option<&'a str>,
    /// The weights were written again.
    rewritten: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    costs: &'a [TextCost],
}

#[derive(Serialize)]
struct Grown<'a> {
    times: f64,
    tensor: &'a str,
}

impl Calibrate {
    /// Calibrates and prints what was found.
    ///
    /// # Errors
    /// Those of [`calibrate`].
    pub fn run(&self) -> Result<(), Error> {
        if model::Model::is_named(&self.model) && !self.model.exists() {
            let why =
                format!("`{}` is built in, and calibrated: name a folder", self.model.display());
            return Err(Error::Config(why));
        }
        let bar = progress::bar("calibrating", Some(self.count));
        let progress = |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        };
        let done = calibrate(&self.model, &self.samples, self.count, self.force, progress)?;
        bar.finish_and_clear();
        if let Some(why) = thin("this model", done.calibration.images, done.what) {
            print::say(Level::WARN, why);
        }
        if let Some(tensor) = &done.far {
            print::say(Level::WARN, too_far(done.error, tensor));
        }
        match self.json {
            true => print::json(&self.object(&done)),
            false => self.lines(&done).into_iter().try_for_each(print::line),
        }
    }

    fn file(&self, name: &str) -> String {
        self.model.join(name).display().to_string()
    }

    fn object<'a>(&self, done: &'a Calibrated) -> Found<'a> {
        Found {
            model: self.model.display().to_string(),
            calibration: self.file("calibration.toml"),
            calibrated_on: done.calibration.images,
            what: done.what,
            margin: done.margin,
            grown: Grown { times: done.grown.0, tensor: &done.grown.1 },
            difference: done.error,
            far: done.far.as_deref(),
            rewritten: done.rewritten,
            costs: &done.costs,
        }
    }

    fn lines(&self, done: &Calibrated) -> Vec<String> {
        let mut all = vec![
            format!(
                "{}: ranges of {} {}; on others a tensor may be {} times as large (all of these exceed the first half of \
                 them {:.2} times at most, in {})",
                self.file("calibration.toml"),
                done.calibration.images,
                done.what,
                done.margin,
                done.grown.0,
                done.grown.1
            ),
            format!("private results differ from plain ones by {:.2} %", 100.0 * done.error),
        ];
        all.extend(done.rewritten.then(|| {
            format!(
                "{}: written again, as f32: keys are centred, hidden channels and heads in another order, which changes no \
                 result",
                self.file("weights.safetensors")
            )
        }));
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        all.extend(done.costs.iter().map(|cost| {
            format!(
                "{} tokens: {} flights, {:.1} MB online, {:.1} MB offline",
                cost.tokens,
                cost.flights,
                megabytes(cost.online_bytes),
                megabytes(cost.offline_bytes)
            )
        }));
        all
    }
}
