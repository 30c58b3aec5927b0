//! Gradients and predictions of whole batches, on several threads.
//!
//! A batch is cut into micro-batches that workers take one after the other. Gradients are added in the order of the
//! micro-batches: the result does not depend on the number of workers or on who was faster.

use burn::tensor::{DType, Device, Tensor, activation};
use sotto_models::Arch;

use crate::augment::{Patcher, View};
use crate::blend::Samples;
use crate::data::Split;
use crate::distil::Teacher;
use crate::feed::Batch;
use crate::right::Right;
use crate::vit::{Mixture, Precision, Reach, forward, run};
use crate::weights::matrix;
use crate::workers::each;

/// What computes a model's gradients and predictions.
#[derive(Debug)]
pub struct Engine {
    /// The model.
    pub arch: Arch,
    /// Number type of the products.
    pub precision: Precision,
    /// The model that it imitates.
    pub teacher: Option<Teacher>,
    /// Where tensors live (without automatic differentiation).
    pub device: Device,
    /// Images of one micro-batch.
    pub micro: usize,
    /// Threads.
    pub workers: usize,
}

/// The loss function's parameters.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    /// Probability that is spread over all classes.
    pub smoothing: f32,
    /// Weight of the squared log partition sum, which keeps logits small.
    pub z: f32,
}

/// Which kinds of attention and activations a training step runs.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// The architecture's own.
    Own,
    /// For micro-batch i those of architecture i, all of the engine's sizes.
    Drawn(&'a [Arch]),
    /// A mixture; its two matrices of shares get gradients too.
    Mixed(&'a Mixture),
}

/// What one batch gave.
#[derive(Debug)]
pub struct Gradients {
    /// One gradient for each weight; for a mixture two more, of its heads and of its MLPs.
    pub gradients: Vec<Tensor<2>>,
    /// Mean loss.
    pub loss: f32,
    /// Images whose highest logit is their class.
    pub correct: usize,
}

impl Engine {
    /// The mean loss of `batch` and its gradients.
    pub fn gradients(
        &self,
        weights: &[Tensor<2>],
        batch: &Batch<'_>,
        loss: Loss,
        form: Form<'_>,
    ) -> Gradients {
        let (source, of) = (batch.source, batch.len());
        let parts = each(self.workers, batch.samples.len(), |i| {
            let indices = &batch.indices[i];
            let form = match form {
                Form::Drawn(archs) => Form::Drawn(&archs[i..=i]),
                form => form,
            };
            let name = || source.name(indices);
            let samples = (&batch.samples[i], name);
            let (mut part, guesses) = self.micro_batch(weights, samples, of, loss, form);
            let pairs = guesses.iter().zip(indices);
            let right = pairs.filter(|(g, i)| **g == source.split.label(**i as usize));
            part.correct = right.count();
            part
        });
        let mut total: Option<Gradients> = None;
        for part in parts {
            total = Some(match total {
                None => part,
                Some(sum) => Gradients {
                    gradients: sum
                        .gradients
                        .into_iter()
                        .zip(part.gradients)
                        .map(|(a, b)| a + b)
                        .collect(),
                    loss: sum.loss + part.loss,
                    correct: sum.correct + part.correct,
                },
            });
        }
        total.expect("a batch holds at least one image")
    }

    /// The part of a batch of `of` images that `samples` make, and each one's most likely class. The name is what the
    /// samples follow from.
    fn micro_batch(
        &self,
        weights: &[Tensor<2>],
        (samples, name): (&Samples, impl FnOnce() -> Vec<u32>),
        of: usize,
        loss: Loss,
        form: Form<'_>,
    ) -> (Gradients, Vec<usize>) {
        let device = self.device.clone().autodiff();
        let leaf = |w: &Tensor<2>| Tensor::from_inner(w.clone()).require_grad();
        let mut leaves: Vec<Tensor<2>> = weights.iter().map(leaf).collect();
        let (arch, mixture) = match form {
            Form::Own => (&self.arch, None),
            Form::Drawn(archs) => (&archs[0], None),
            Form::Mixed(mixture) => {
                let (heads, mlps) = (leaf(&mixture.heads), leaf(&mixture.mlps));
                leaves.extend([heads.clone(), mlps.clone()]);
                (&self.arch, Some(Mixture { heads, mlps, ..mixture.clone() }))
            }
        };
        let (width, classes) = (self.arch.patch_dim(), self.arch.classes);
        let rows = samples.patches.len() / width;
        let input = matrix(samples.patches.clone(), [rows, width], &device);
        let reach = if self.teacher.is_some() { Reach::AllTokens } else { Reach::ClassToken };
        let inputs = input.clone();
        let output = run(arch, &leaves, inputs, self.precision, reach, mixture.as_ref());
        let logits = output.logits.clone();

        let floor = loss.smoothing / classes as f32;
        let soft: Vec<f32> =
            samples.targets.iter().map(|t| floor + (1.0 - loss.smoothing) * t).collect();
        let targets = matrix(soft, logits.dims(), &device);
        let log = activation::log_softmax(logits.clone(), 1);
        let mut value = (targets * log.clone()).sum().neg();
        if loss.z > 0.0 {
            let partition = logits.clone().narrow(1, 0, 1) - log.narrow(1, 0, 1);
            value = value + partition.square().sum().mul_scalar(loss.z);
        }
        if let Some(teacher) = &self.teacher {
            let own = teacher.output(name, input.inner(), self.precision);
            value = value + teacher.loss(&self.arch, &output, own);
        }
        let value = value.div_scalar(of as f64);
        let mut gradients = value.backward();
        let gradients = leaves
            .iter()
            .map(|leaf| {
                leaf.grad_remove(&mut gradients).expect("every weight takes part in the loss")
            })
            .collect();
        let guesses = guesses(&logits.inner(), classes);
        (Gradients { gradients, loss: value.inner().into_scalar::<f32>(), correct: 0 }, guesses)
    }

    /// The share of `split` whose highest logit is the right class, for the engine's architecture.
    pub fn accuracy(&self, weights: &[Tensor<2>], split: &Split) -> f64 {
        self.right(weights, split).share()
    }

    /// The images of `split` whose highest logit is the right class.
    pub fn right(&self, weights: &[Tensor<2>], split: &Split) -> Right {
        Right(self.of_images(&self.arch, weights, split, |logits, images| {
            let guesses = guesses(&logits, self.arch.classes);
            let pairs = guesses.iter().zip(images);
            pairs.map(|(guess, i)| *guess == split.label(*i as usize)).collect()
        }))
    }

    /// The mean cross entropy of the right classes, without any change of the pictures.
    pub fn cross_entropy_of(&self, arch: &Arch, weights: &[Tensor<2>], split: &Split) -> f64 {
        let entropies = self.of_images(arch, weights, split, |logits, images| {
            let log = activation::log_softmax(logits.cast(DType::F32), 1).to_data();
            let log = log.as_slice::<f32>().expect("just cast to float32");
            let rows = log.chunks_exact(arch.classes).zip(images);
            rows.map(|(row, i)| -f64::from(row[split.label(*i as usize)])).collect()
        });
        entropies.iter().sum::<f64>() / split.len().max(1) as f64
    }

    /// What `of` makes of the logits of some images, for all images in their order.
    fn of_images<T: Send>(
        &self,
        arch: &Arch,
        weights: &[Tensor<2>],
        split: &Split,
        of: impl Fn(Tensor<2>, &[u32]) -> Vec<T> + Sync,
    ) -> Vec<T> {
        let patcher = Patcher::new(arch);
        let all: Vec<u32> = (0..split.len() as u32).collect();
        let chunks: Vec<&[u32]> = all.chunks(self.micro.max(100)).collect();
        let parts = each(self.workers, chunks.len(), |i| {
            let mut patches = Vec::with_capacity(chunks[i].len() * 3 * arch.image.pow(2));
            for &image in chunks[i] {
                patcher.push(
                    &patcher.planes(split.image(image as usize), View::default()),
                    &mut patches,
                );
            }
            let width = arch.patch_dim();
            let rows = patches.len() / width;
            let input = matrix(patches, [rows, width], &self.device);
            of(forward(arch, weights, input, self.precision), chunks[i])
        });
        parts.into_iter().flatten().collect()
    }
}

fn guesses(logits: &Tensor<2>, classes: usize) -> Vec<usize> {
    let data = logits.clone().cast(DType::F32).to_data();
    let values = data.as_slice::<f32>().expect("just cast to float32");
    let best = |row: &[f32]| (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
    values.chunks_exact(classes).map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blend::{Source, Strength};
    use crate::weights::{download, initial, upload};

    #[test]
    fn gradients_do_not_depend_on_the_number_of_workers() {
        let arch = Arch::vit(2, 2, 8, 16, 32, 8, 10);
        let weights = upload(&arch, &initial(&arch, 1), &Device::flex());
        let split = Split::synthetic(20);
        let indices: Vec<u32> = (0..20).collect();
        let with = |workers, micro| {
            let engine = Engine {
                arch: arch.clone(),
                precision: Precision::F32,
                teacher: None,
                device: Device::flex(),
                micro,
                workers,
            };
            let loss = Loss { smoothing: 0.1, z: 1e-4 };
            let source = Source { split: &split, seed: 1, epoch: 0, strength: Strength::default() };
            let batch = Batch::new(source, &indices, &arch, [micro, workers]);
            let got = engine.gradients(&weights, &batch, loss, Form::Own);
            let gradients: Vec<Vec<f32>> = got.gradients.iter().map(download).collect();
            (gradients, got.loss, got.correct)
        };
        let one = with(1, 6);
        assert_eq!(one, with(3, 6));
        let whole = with(1, 20);
        assert!((one.1 - whole.1).abs() < 1e-5, "{} and {}", one.1, whole.1);
        for (a, b) in one.0.iter().flatten().zip(whole.0.iter().flatten()) {
            assert!((a - b).abs() < 1e-4, "{a} and {b}");
        }
    }
}
