//! What is known of an architecture that was trained, once or with several seeds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sotto_models::Arch;

use crate::right::{Right, noise};
use crate::search::measure::Measured;

/// One training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Share of all test images that are right, in plaintext float32.
    pub accuracy: f64,
    /// Mean cross entropy of the held training images, by which the search chooses.
    pub validation: f64,
    /// Which test images are right.
    pub right: Right,
    /// Seconds of training.
    pub seconds: f64,
}

/// A trained architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// The architecture.
    pub arch: Arch,
    /// Number of test images.
    pub images: usize,
    /// Passes over the training images.
    pub epochs: usize,
    /// Its trainings, at least one. The first one's model is what is calibrated and measured privately.
    pub runs: Vec<Run>,
    /// Predicted latency, by network.
    pub latency: BTreeMap<String, f64>,
    /// Private accuracy, measured without a network between the parties.
    #[serde(default)]
    pub private: Option<Measured>,
    /// Private latency measured over emulated networks, by network: one measurement a round.
    #[serde(default)]
    pub measured: BTreeMap<String, Vec<Measured>>,
}

impl Trained {
    /// The accuracy, its mean over the runs.
    pub fn accuracy(&self) -> f64 {
        self.mean(|run| run.accuracy)
    }

    /// The cross entropy of the held images, its mean over the runs.
    pub fn validation(&self) -> f64 {
        self.mean(|run| run.validation)
    }

    /// Standard deviation of the difference of this one's and another's accuracy on other images like the test images.
    pub fn noise(&self, other: &Self) -> f64 {
        noise(&self.right(), &other.right())
    }

    fn right(&self) -> Vec<&Right> {
        self.runs.iter().map(|run| &run.right).collect()
    }

    fn mean(&self, of: impl Fn(&Run) -> f64) -> f64 {
        self.runs.iter().map(of).sum::<f64>() / self.runs.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_runs_count_by_their_mean() {
        let run = |seed, accuracy, validation| {
            let (right, seconds) = (Right::default(), 1.0);
            Run { seed, accuracy, validation, right, seconds }
        };
        let trained = Trained {
            arch: Arch::vit(1, 1, 8, 16, 32, 8, 10),
            images: 4,
            epochs: 1,
            runs: vec![run(1, 0.5, 1.0), run(2, 0.75, 1.5)],
            latency: BTreeMap::new(),
            private: None,
            measured: BTreeMap::new(),
        };
        assert_eq!((trained.accuracy(), trained.validation()), (0.625, 1.25));
        assert_eq!(trained.noise(&trained), 0.0);
    }
}
