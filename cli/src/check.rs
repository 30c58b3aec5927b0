//! `sotto check`: a model's private arithmetic in the clear, against the plain model, on its owner's samples.
//! With `--config` a party's configuration is looked at ([`examine`]).

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use sotto_models::{
    Calibration, Model, Weights,
    agreement::Compared,
    arch::Attention,
    calibration::{HeadGroup, Range},
    files,
    format::MARGIN,
    model::{Input, Output},
    probe::Tensor,
};

use crate::{
    choices,
    client::top,
    ending::{Failed, document},
    error::Error,
    examine,
    model::{self, recorded_with},
    print, progress,
    samples::{Loaded, Samples, embedded, what},
};

/// What `sotto check` is told.
#[derive(Args)]
pub struct Check {
    /// `demo`, `vit_cifar` or `vit_tiny` (random weights), on the embedded images where none are given; or a folder with arch.toml,
    /// weights.safetensors and calibration.toml, and of a model of texts tokenizer.json.
    #[arg(required_unless_present = "config")]
    model: Option<PathBuf>,
    /// Looks at a party's configuration instead (server.toml, client.toml or dealer.toml): keys, certificates, model, folders,
    /// ports, peers, and the running service where `health` says where it answers. Exit code 1 where something is wrong.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    config: Option<PathBuf>,
    #[command(flatten)]
    samples: Samples,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// With hidden lengths of texts: each is padded to its bucket.
    #[arg(long)]
    hidden_length: bool,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// How far one private result is from the plain one.
#[derive(Clone, Copy, Serialize)]
struct Distance {
    /// Rows that entered the model.
    rows: usize,
    /// Cosine of the angle between the two.
    cosine: f64,
    /// Largest difference of two numbers.
    error: f64,
    /// Whether the largest number is at the same place, in each row of classes; embeddings have none.
    same: Option<bool>,
}

/// A tensor that leaves the room that its calibrated range gives it.
#[derive(Serialize)]
struct Outside {
    layer: usize,
    tensor: String,
    /// By what factor it exceeds the calibrated range.
    times: f64,
}

/// The JSON object.
#[derive(Serialize)]
struct Report {
    model: String,
    calibrated_on: usize,
    margin: f64,
    samples: Vec<Distance>,
    outside: Vec<Outside>,
}

impl Check {
    /// Runs the check and prints what it found.
    ///
    /// # Errors
    /// [`Error::Check`] where a tensor leaves its room; whatever is wrong with the model's files or a sample.
    pub fn run(&self) -> Result<(), Failed> {
        let folder = match (&self.config, &self.model) {
            (Some(config), _) => return examine::run(config, self.json),
            (_, Some(folder)) => folder,
            (None, None) => {
                return Err(Error::Config("a model folder, or --config FILE".into()).into());
            }
        };
        let (Loaded { model, weights, inputs }, calibration) = self.load(folder)?;
        let bar = progress::bar("checking", Some(inputs.len()));
        let mut samples = Vec::new();
        let mut compared =
            Compared::new(&model, &weights, &calibration, choices::lengths(self.hidden_length));
        for (i, input) in inputs.iter().enumerate() {
            let both = compared.on(i, input).map_err(Error::from)?;
            samples.push(distance(&model, both.rows, &both.plain, &both.private));
            bar.set_position(i as u64 + 1);
        }
        let seen = calibration.seen(&model, &weights, &inputs);
        bar.finish_and_clear();
        let margin = f64::from(1u32 << MARGIN);
        let outside = outside(&calibration, &seen, margin);
        let (name, calibrated_on) = (model.name.clone(), calibration.images);
        let report = Report { model: name, calibrated_on, margin, samples, outside };
        let result = match report.outside.len() {
            0 => Ok(()),
            n => Err(Error::Check(format!(
                "{n} tensors leave the room that the calibration gives them: calibrate on more samples like these"
            ))),
        };
        if self.json {
            return document(&report, result);
        }
        report.lines(what(&model)).into_iter().try_for_each(print::line)?;
        Ok(result?)
    }
}

impl Check {
    fn load(&self, name: &Path) -> Result<(Loaded, Calibration), Error> {
        if name.exists() || !model::Model::is_named(name) {
            let loaded = self.samples.load(name, self.limit)?;
            let calibration = recorded(name, &loaded.weights)?;
            return Ok((loaded, calibration));
        }
        let model::Model { arch, weights, calibration, .. } = model::Model::find(name)?;
        let inputs = match &arch.input {
            Input::Pixels(pixels) if self.samples.is_empty() => {
                embedded(&arch, pixels, self.limit)?
            }
            _ => self.samples.inputs(name, &arch, &weights, self.limit)?,
        };
        Ok((Loaded { model: arch, weights, inputs }, calibration))
    }
}

fn recorded(folder: &Path, weights: &Weights) -> Result<Calibration, Error> {
    let path = folder.join("calibration.toml");
    let calibration = Calibration::from_toml(&files::text(&path)?)?;
    recorded_with(&calibration, weights, path.display())?;
    Ok(calibration)
}

impl Report {
    fn lines(&self, what: &str) -> Vec<String> {
        let least = |of: fn(&Distance) -> f64| self.samples.iter().map(of).fold(f64::MAX, f64::min);
        let worst = self.samples.iter().map(|d| d.error).fold(0.0, f64::max);
        let mut all = vec![format!(
            "{}: {} {what}, private against plain: cosine at least {:.6}, largest difference {worst:.4}",
            self.model,
            self.samples.len(),
            least(|d| d.cosine),
        )];
        let judged: Vec<bool> = self.samples.iter().filter_map(|d| d.same).collect();
        if !judged.is_empty() {
            let same = judged.iter().filter(|&&same| same).count();
            all.push(format!("the same classes in {same} of {}", judged.len()));
        }
        all.push(match self.outside.len() {
            0 => format!("every tensor is within {} times its calibrated range", self.margin),
            n => format!("{n} tensors are more than {} times as large as calibrated:", self.margin),
        });
        let line = |o: &Outside| format!("  layer {}, {}: {:.2} times", o.layer, o.tensor, o.times);
        all.extend(self.outside.iter().map(line));
        all
    }
}

fn distance(model: &Model, rows: usize, plain: &[f32], got: &[f64]) -> Distance {
    let plain: Vec<f64> = plain.iter().map(|&x| f64::from(x)).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let length = (dot(&plain, &plain) * dot(got, got)).sqrt();
    let error = plain.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let classes = match &model.output {
        Output::Embedding { .. } => None,
        output => Some(output.classes()),
    };
    let same = classes
        .map(|n| plain.chunks(n).zip(got.chunks(n)).all(|(plain, got)| top(plain) == top(got)));
    Distance { rows, cosine: dot(&plain, got) / length.max(f64::MIN_POSITIVE), error, same }
}

/// The tensors of `seen` that leave the room of `calibration`.
fn outside(calibration: &Calibration, seen: &Calibration, margin: f64) -> Vec<Outside> {
    let mut all = Vec::new();
    let mut compare = |layer: usize, tensor: String, known: Option<Range>, seen: Range| {
        let times = seen.size() / known.map_or(0.0, |r| r.size()).max(f64::MIN_POSITIVE);
        if times > margin {
            all.push(Outside { layer, tensor, times });
        }
    };
    for (layer, (known, seen)) in calibration.layers.iter().zip(&seen.layers).enumerate() {
        for (tensor, range) in seen {
            compare(layer, tensor.clone(), known.get(tensor).copied(), *range);
        }
    }
    // Groups have windows of their own.
    for (layer, (known, seen)) in calibration.groups.iter().zip(&seen.groups).enumerate() {
        for (group, (known, seen)) in known.iter().zip(seen).enumerate() {
            let tensor = format!("{} in group {}", Tensor::Hidden, group + 1);
            compare(layer, tensor, Some(known.range), seen.range);
        }
    }
    for (layer, (known, seen)) in calibration.heads.iter().zip(&seen.heads).enumerate() {
        for (group, (known, seen)) in known.iter().zip(seen).enumerate() {
            let both = known.parts().into_iter().zip(seen.parts());
            for (part, (known, seen)) in HeadGroup::PARTS.into_iter().zip(both) {
                let tensor = Tensor::Head(Attention::Softmax, part);
                compare(layer, format!("{tensor} in group {}", group + 1), Some(known), seen);
            }
        }
    }
    all
}
