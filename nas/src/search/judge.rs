//! What shared weights say of an architecture: the mean cross entropy of held images.
//!
//! Two passes say the same. The trainer's own needs nothing; the plaintext reference's (`sotto-gpu`) computes a whole model in
//! some sixty launches, so that a GPU judges every candidate on all held images.

use burn::tensor::Tensor;
use sotto_gpu::{Device, Precision, devices, measure::results, program};
use sotto_models::{Arch, Model, Weights};

use crate::calibrate::inputs;
use crate::data::Split;
use crate::engine::Engine;
use crate::error::Error;

/// Images that a device takes at once.
const BATCH: usize = 250;

/// Judges by the cross entropy of held images.
pub struct Judge {
    engine: Engine,
    tensors: Vec<Tensor<2>>,
    /// What computes in the trainer's place, and the weights as it reads them.
    device: Option<(Box<dyn Device>, Weights)>,
    /// Whether a GPU judges, whichever pass it runs.
    card: bool,
}

impl Judge {
    /// By the trainer's own pass.
    pub fn new(engine: Engine, tensors: Vec<Tensor<2>>) -> Self {
        Self { engine, tensors, device: None, card: false }
    }

    /// By the plaintext reference on `device`.
    pub fn on(self, device: Box<dyn Device>, weights: Weights) -> Self {
        let card = device.info().device != "cpu" && !device.info().software;
        Self { device: Some((device, weights)), card, ..self }
    }

    /// On the trainer's device called `name`: a GPU that the reference has, too, computes by that.
    pub fn on_trainers(self, name: &str, weights: Weights) -> Self {
        let card = self.card || name == "cuda";
        if name != "gpu" {
            return Self { card, ..self };
        }
        match devices::open(name) {
            Ok(device) => self.on(device, weights),
            Err(e) => {
                eprintln!("judging by the trainer's own pass: {e}");
                Self { card: true, ..self }
            }
        }
    }

    /// Whether all held images cost no more than few do on a processor.
    pub fn sees_all(&self) -> bool {
        self.card
    }

    /// The mean cross entropy of the images of `split`, for `arch` with the shared weights.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn entropy(&self, arch: &Arch, split: &Split) -> Result<f64, Error> {
        let Some((device, weights)) = &self.device else {
            return Ok(self.engine.cross_entropy_of(arch, &self.tensors, split));
        };
        let model = Model::from(arch);
        let program = program(&model, weights, model.tokens());
        let images = inputs(arch, split, split.len());
        let images: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
        let logits = results(&**device, &program, Precision::F32, BATCH, &images)?;
        let entropies =
            logits.iter().enumerate().map(|(i, row)| cross_entropy(row, split.label(i)));
        Ok(entropies.sum::<f64>() / split.len().max(1) as f64)
    }
}

fn cross_entropy(logits: &[f32], class: usize) -> f64 {
    let most = logits.iter().fold(f64::MIN, |most, &x| most.max(f64::from(x)));
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
    sum.ln() + most - f64::from(logits[class])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Rng;
    use crate::checkpoint::encode;
    use crate::search::space::Space;
    use crate::vit::Precision::F32;
    use crate::weights::{initial, upload};

    #[test]
    fn both_passes_say_the_same_of_every_kind() {
        let base = Arch::vit(3, 3, 12, 24, 32, 8, 10);
        let mut values = initial(&base, 3);
        let mut rng = Rng::new(&[8]);
        values.iter_mut().flatten().for_each(|v| *v += 0.2 * rng.normal() as f32);
        // One batch that is not full, and one that is before it.
        let split = Split::synthetic(BATCH + 30);
        let burn = burn::tensor::Device::flex();
        let judge = || {
            let (arch, precision, device) = (base.clone(), F32, burn.clone());
            let engine = Engine { arch, precision, teacher: None, device, micro: 64, workers: 2 };
            Judge::new(engine, upload(&base, &values, &burn))
        };
        let own = judge();
        let weights = || Weights::from_bytes(&base, &encode(&base, &values)).unwrap();
        assert!(!own.sees_all() && !judge().on_trainers("cpu", weights()).sees_all());
        assert!(judge().on_trainers("cuda", weights()).sees_all());
        let (space, mut rng) = (Space::default(), Rng::new(&[9]));
        let archs: Vec<Arch> = (0..4).map(|_| space.draw(&base, &mut rng)).collect();
        let mut seen = Vec::new();
        for device in ["cpu", "gpu"].iter().filter_map(|name| devices::open(name).ok()) {
            let name = device.info().name.clone();
            let card = device.info().device == "gpu" && !device.info().software;
            let other = judge().on(device, weights());
            assert_eq!(other.sees_all(), card, "{name}");
            for arch in &archs {
                let [a, b] = [&own, &other].map(|judge| judge.entropy(arch, &split).unwrap());
                assert!((a - b).abs() < 1e-4, "{name}: {b}, the trainer {a}");
                assert!(a > 1.0 && a.is_finite(), "{a}");
                seen.push(a);
            }
        }
        seen.sort_by(f64::total_cmp);
        seen.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
        assert!(seen.len() >= 4, "each architecture has its own: {seen:?}");
    }
}
