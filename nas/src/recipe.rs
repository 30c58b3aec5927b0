//! The settings that decide what training gives, and that a checkpoint must agree with.

use serde::{Deserialize, Serialize};

use crate::blend::Strength;
use crate::optim::Rule;
use crate::vit::Precision;

/// Where the cosine schedule ends.
const COSINE_END: f64 = 1e-5;

/// The settings that decide the result; a checkpoint holds them and must agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training set.
    pub epochs: usize,
    /// Seed of weights, order and views.
    pub seed: u64,
    /// Peak learning rate.
    pub lr: f32,
    /// Weight decay.
    pub decay: f32,
    /// Label smoothing.
    pub smoothing: f32,
    /// Weight of the z-loss.
    pub z: f32,
    /// Images of a step.
    pub batch: usize,
    /// Images of a micro-batch (it orders the additions).
    pub micro: usize,
    /// Training images in use; 0 for all.
    pub limit: usize,
    /// How much training pictures are changed beyond crop and flip.
    #[serde(default)]
    pub strength: Strength,
    /// Whether there is a teacher.
    #[serde(default)]
    pub distilled: bool,
    /// Whether the first weights are another model's.
    #[serde(default)]
    pub inherited: bool,
    /// Whether every micro-batch runs kinds and activations of its own, drawn from all: the
    /// supernet, whose weights serve every architecture.
    #[serde(default)]
    pub drawn: bool,
    /// Whether matrices follow Muon.
    pub muon: bool,
    /// Whether the learning rate follows half a cosine.
    #[serde(default)]
    pub cosine: bool,
    /// Whether products are bfloat16.
    pub bf16: bool,
}

/// Passes over the training set, by a search's job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epochs {
    /// The softmax teacher.
    pub teacher: usize,
    /// The shared weights.
    pub supernet: usize,
    /// One search.
    pub search: usize,
    /// Each architecture.
    pub train: usize,
}

impl Recipe {
    /// The optimiser's rule for matrices.
    pub fn rule(&self) -> Rule {
        if self.muon { Rule::Muon } else { Rule::AdamW }
    }

    /// The number type of products.
    pub fn precision(&self) -> Precision {
        if self.bf16 { Precision::Bf16 } else { Precision::F32 }
    }

    /// How much pictures are changed where the share `progress` of the run is over: not at all in
    /// the last 15 %, so that the weights settle on pictures as they are.
    pub fn strength(&self, progress: f64) -> Strength {
        if progress < 0.85 { self.strength } else { Strength::default() }
    }

    /// The learning rate at `step` of `total`, where the share `progress` of the run is over: a
    /// warm-up of 200 steps (a tenth of a short run), a constant part, and from 30 % on a line to
    /// zero; or MPCViT's 10 epochs of warm-up and half a cosine to 0.00001.
    pub fn rate(&self, step: usize, total: usize, progress: f64) -> f32 {
        if self.cosine {
            let per_epoch = total as f64 / self.epochs as f64;
            let warm = (step + 1) as f64 / (10.0 * per_epoch).clamp(1.0, total as f64 / 10.0 + 1.0);
            let fall = (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()) / 2.0;
            let rate = COSINE_END + (f64::from(self.lr) - COSINE_END).max(0.0) * fall;
            return (rate * warm.min(1.0)) as f32;
        }
        let warm = (step + 1) as f64 / (total as f64 / 10.0).clamp(1.0, 200.0);
        let fall = ((1.0 - progress) / 0.7).max(0.0);
        self.lr * warm.min(fall).min(1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(line: &str) -> Recipe {
        Config::parse(line.split_whitespace().map(String::from)).unwrap().recipe
    }

    #[test]
    fn the_rate_warms_up_holds_and_falls_to_zero() {
        let recipe = read("--data d --arch a --out o");
        assert_eq!(recipe.rate(0, 9000, 0.0), 2e-3 / 200.0);
        assert_eq!(recipe.rate(0, 100, 0.0), 2e-3 / 10.0);
        assert_eq!(recipe.rate(200, 9000, 0.29), 2e-3);
        assert!((recipe.rate(5000, 9000, 0.65) - 1e-3).abs() < 1e-6);
        assert_eq!(recipe.rate(9000, 9000, 1.0), 0.0);
        let cosine = read("--data d --out o --schedule cosine --epochs 100");
        assert_eq!(cosine.rate(499, 10_000, 0.0), 1e-3);
        assert!((cosine.rate(5000, 10_000, 0.5) - (2e-3 + 1e-5) / 2.0).abs() < 1e-9);
        assert_eq!(cosine.rate(10_000, 10_000, 1.0), 1e-5);
        let strong = read("--data d --out o --cutmix 0.5");
        assert_eq!((strong.strength(0.84).cutmix, strong.strength(0.85).cutmix), (0.5, 0.0));
    }
}
