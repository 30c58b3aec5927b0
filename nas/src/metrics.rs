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

/// Appends `line` to `metrics.jsonl` in `folder` and draws `curve.svg` from all lines there, those
/// before a resume included.
///
/// # Errors
/// [`Error::File`] when the disk refuses.
pub fn append(folder: &Path, line: &Value, title: &str, per_epoch: usize) -> Result<(), Error> {
    let path = folder.join("metrics.jsonl");
    let file = OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut f| writeln!(f, "{line}")).map_err(|e| Error::file(&path, e))?;
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
}
