//! What a run tells about itself: a line of JSON for each epoch, and the curve drawn from them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::Error;
use crate::curve::{Point, svg};

/// What was seen since the last line.
#[derive(Debug)]
pub struct Window {
    start: Instant,
    /// Images so far.
    pub images: usize,
    steps: usize,
    loss: f64,
    right: usize,
    rate: f32,
}

impl Default for Window {
    fn default() -> Self {
        Self { start: Instant::now(), images: 0, steps: 0, loss: 0.0, right: 0, rate: 0.0 }
    }
}

impl Window {
    /// Adds a step over `images` with mean `loss`, of which `right` were right.
    pub fn add(&mut self, images: usize, loss: f32, right: usize, rate: f32) {
        self.images += images;
        self.steps += 1;
        self.loss += f64::from(loss) * images as f64;
        self.right += right;
        self.rate = rate;
    }

    /// Images per second.
    pub fn speed(&self) -> f64 {
        self.images as f64 / self.start.elapsed().as_secs_f64()
    }

    /// What the terminal shows after `step` of `total` steps, with at most `left` seconds to go.
    pub fn progress(&self, epoch: usize, step: usize, total: usize, left: Option<f64>) -> String {
        let images = self.images.max(1) as f64;
        let of_steps = (total - step) as f64 * images / (self.steps.max(1) as f64 * self.speed());
        let left = left.map_or(of_steps, |l| l.min(of_steps)) / 60.0;
        format!(
            "epoch {epoch} step {step}/{total} loss {:.3} {:.0} images/s, {left:.1} min left   ",
            self.loss / images,
            self.speed()
        )
    }

    /// The line of metrics after `step` steps and `seconds`, with this accuracy on test images.
    pub fn line(&self, step: usize, seconds: f64, accuracy: f64) -> Value {
        let images = self.images.max(1) as f64;
        json!({
            "step": step,
            "minutes": (seconds / 0.6).round() / 100.0,
            "loss": self.loss / images,
            "train_accuracy": self.right as f64 / images,
            "test_accuracy": accuracy,
            "learning_rate": self.rate,
            "images_per_second": self.speed().round(),
        })
    }
}

/// How fast a slice went, and what became of the loss in it.
#[derive(Debug)]
pub struct Pace {
    from: usize,
    batch: usize,
    /// Seconds and loss of each step.
    steps: Vec<(f64, f32)>,
}

impl Pace {
    /// Steps of `batch` images, from step `from` on.
    pub fn new(from: usize, batch: usize) -> Self {
        Self { from, batch, steps: Vec::new() }
    }

    /// Steps so far.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Adds a step.
    pub fn add(&mut self, seconds: f64, loss: f32) {
        self.steps.push((seconds, loss));
    }

    /// The line of metrics of a slice on `device`, where pictures can be made at `pictures` a second. Speed is that of the
    /// steps after the first fifth (the first ones compile kernels), the loss the mean of up to 20 steps at either end.
    pub fn line(&self, device: &str, pictures: f64) -> Value {
        let steady = &self.steps[self.steps.len() / 5..];
        let seconds: f64 = steady.iter().map(|s| s.0).sum();
        let mean = |steps: &[(f64, f32)]| {
            steps.iter().map(|s| f64::from(s.1)).sum::<f64>() / steps.len().max(1) as f64
        };
        let (some, n) = (self.steps.len().min(20), self.steps.len());
        json!({"slice": {
            "device": device,
            "from": self.from,
            "to": self.from + n,
            "batch": self.batch,
            "images_per_second": (steady.len() * self.batch) as f64 / seconds,
            "first_step_seconds": self.steps.first().map(|s| s.0),
            "pictures_per_second": pictures,
            "loss_first": mean(&self.steps[..some]),
            "loss_last": mean(&self.steps[n - some..]),
        }})
    }
}

/// Appends `line` to `metrics.jsonl` in `folder`.
///
/// # Errors
/// [`Error::File`] when the disk refuses.
pub fn record(folder: &Path, line: &Value) -> Result<(), Error> {
    let path = folder.join("metrics.jsonl");
    let file = OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut f| writeln!(f, "{line}")).map_err(|e| Error::file(&path, e))
}

/// Appends `line` to `metrics.jsonl` in `folder` and draws `curve.svg` from all lines there, those
/// before a resume included.
///
/// # Errors
/// [`Error::File`] when the disk refuses.
pub fn append(folder: &Path, line: &Value, title: &str, per_epoch: usize) -> Result<(), Error> {
    record(folder, line)?;
    let path = folder.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::file(&path, e))?;
    let points: Vec<Point> = text.lines().filter_map(|line| point(line, per_epoch)).collect();
    let path = folder.join("curve.svg");
    std::fs::write(&path, svg(title, &points)).map_err(|e| Error::file(&path, e))
}

fn point(line: &str, per_epoch: usize) -> Option<Point> {
    let line: Value = serde_json::from_str(line).ok()?;
    let number = |name: &str| line[name].as_f64();
    let epoch = number("step")? / per_epoch as f64;
    Some(Point { epoch, train: number("train_accuracy")?, test: number("test_accuracy")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_averages_and_its_line_becomes_a_point() {
        let mut window = Window::default();
        window.add(30, 2.0, 10, 0.5);
        window.add(10, 1.0, 10, 0.25);
        let line = window.line(40, 90.0, 0.625);
        assert_eq!((line["loss"].as_f64(), line["minutes"].as_f64()), (Some(1.75), Some(1.5)));
        let shown = window.progress(1, 40, 60, Some(90.0));
        assert!(shown.contains("step 40/60 loss 1.750"), "{shown}");
        assert!(shown.contains(", 0.0 min left"), "{shown}");
        let expected = Point { epoch: 4.0, train: 0.5, test: 0.625 };
        assert_eq!(point(&line.to_string(), 10), Some(expected));
        assert_eq!(point("{\"step\": 1", 10), None);
    }

    #[test]
    fn a_pace_leaves_out_the_first_fifth() {
        let mut pace = Pace::new(7, 32);
        for i in 0..50 {
            pace.add(if i < 10 { 9.0 } else { 0.5 }, if i < 20 { 2.0 } else { 1.0 });
        }
        let line = pace.line("gpu", 1000.0);
        let slice = &line["slice"];
        assert_eq!((&slice["from"], &slice["to"]), (&7.into(), &57.into()));
        let numbers = ["images_per_second", "loss_first", "loss_last", "first_step_seconds"];
        assert_eq!(numbers.map(|name| slice[name].as_f64().unwrap()), [64.0, 2.0, 1.0, 9.0]);
        assert_eq!(point(&line.to_string(), 10), None);
    }
}
