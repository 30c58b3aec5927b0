//! The optimiser: Muon for the matrices inside blocks, AdamW for everything else.
//!
//! Muon (Jordan et al., 2024) replaces a matrix' momentum by the nearest orthogonal matrix, found
//! by five Newton-Schulz steps; the update is scaled by 0.2 sqrt(max(rows, columns)) so that one
//! learning rate and one weight decay fit both rules (Liu et al., "Muon is scalable", 2025). Query,
//! key and value matrices, which share one tensor, are made orthogonal one by one.

use burn::tensor::{DType, Tensor};

use crate::vit::Precision;
use crate::weights::Spec;

const MOMENTUM: f32 = 0.95;
const BETA: [f32; 2] = [0.9, 0.98];
const EPSILON: f32 = 1e-8;

/// Which rule moves the matrices inside blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Orthogonalised momentum.
    Muon,
    /// AdamW, as for all other weights.
    AdamW,
}

/// The optimiser's memory: the first and second moments, in the order of the weights. Matrices
/// under Muon leave the second at zero.
#[derive(Debug, Clone)]
pub struct Optimiser {
    rule: Rule,
    precision: Precision,
    specs: Vec<Spec>,
    /// Momentum, or AdamW's mean gradient.
    pub first: Vec<Tensor<2>>,
    /// AdamW's mean squared gradient.
    pub second: Vec<Tensor<2>>,
}

impl Optimiser {
    /// An optimiser without memory yet.
    pub fn new(rule: Rule, precision: Precision, specs: Vec<Spec>, weights: &[Tensor<2>]) -> Self {
        let zeros: Vec<_> = weights.iter().map(Tensor::zeros_like).collect();
        Self { rule, precision, specs, first: zeros.clone(), second: zeros }
    }

    /// Moves `weights` along `gradients`; `step` counts from 1.
    pub fn step(
        &mut self,
        weights: &mut [Tensor<2>],
        gradients: Vec<Tensor<2>>,
        step: usize,
        rate: f32,
        decay: f32,
    ) {
        let correct = BETA.map(|b| 1.0 - b.powf(step as f32));
        let mut square: Vec<(usize, Tensor<2>)> = Vec::new();
        for (i, gradient) in gradients.into_iter().enumerate() {
            let spec = &self.specs[i];
            if spec.decays() {
                weights[i].inplace(|w| w.mul_scalar(1.0 - rate * decay));
            }
            if self.rule == Rule::Muon && spec.is_hidden_matrix() {
                self.first[i].inplace(|m| m.mul_scalar(MOMENTUM) + gradient.clone());
                square.push((i, gradient + self.first[i].clone().mul_scalar(MOMENTUM)));
                continue;
            }
            self.first[i]
                .inplace(|m| m.mul_scalar(BETA[0]) + gradient.clone().mul_scalar(1.0 - BETA[0]));
            let squared = gradient.square().mul_scalar(1.0 - BETA[1]);
            self.second[i].inplace(|v| v.mul_scalar(BETA[1]) + squared);
            let mean = self.first[i].clone().mul_scalar(rate / correct[0]);
            let spread = self.second[i].clone().div_scalar(correct[1]).sqrt().add_scalar(EPSILON);
            weights[i].inplace(|w| w - mean / spread);
        }
        self.muon(weights, square, rate);
    }

    /// Makes all matrices of one shape orthogonal in one batch and applies them.
    fn muon(&self, weights: &mut [Tensor<2>], updates: Vec<(usize, Tensor<2>)>, rate: f32) {
        // (weight, first row, whether it lies on its side, wide piece)
        let mut pieces: Vec<(usize, usize, bool, Tensor<2>)> = Vec::new();
        for (i, update) in updates {
            let [rows, columns] = update.dims();
            let height = if self.specs[i].name.ends_with("qkv.weight") { rows / 3 } else { rows };
            for start in (0..rows).step_by(height) {
                let piece = update.clone().narrow(0, start, height);
                let turned = height > columns;
                pieces.push((i, start, turned, if turned { piece.transpose() } else { piece }));
            }
        }
        while let Some(shape) = pieces.first().map(|p| p.3.dims()) {
            let (group, rest) = pieces.into_iter().partition::<Vec<_>, _>(|p| p.3.dims() == shape);
            pieces = rest;
            let batch = Tensor::stack(group.iter().map(|p| p.3.clone()).collect(), 0);
            let scale = rate * 0.2 * (shape[0].max(shape[1]) as f32).sqrt();
            let batch = orthogonal(batch, self.precision).mul_scalar(scale);
            for (at, (i, start, turned, _)) in group.into_iter().enumerate() {
                let piece: Tensor<2> = batch.clone().narrow(0, at, 1).squeeze_dim(0);
                let piece = if turned { piece.transpose() } else { piece };
                let [height, columns] = piece.dims();
                weights[i].inplace(|w| {
                    if height == w.dims()[0] {
                        return w - piece;
                    }
                    let moved = w.clone().narrow(0, start, height) - piece;
                    w.slice_assign([start..start + height, 0..columns], moved)
                });
            }
        }
    }
}

/// The nearest matrices with orthogonal rows, roughly: singular values land in about 0.7..1.2.
///
/// Shapes: `[count, rows, columns]` with rows <= columns.
fn orthogonal(batch: Tensor<3>, precision: Precision) -> Tensor<3> {
    let length = batch.clone().square().sum_dims(&[1, 2]).sqrt().add_scalar(1e-7);
    let mut x = batch / length;
    if precision == Precision::Bf16 {
        x = x.cast(DType::BF16);
    }
    for _ in 0..5 {
        let a = x.clone().matmul(x.clone().transpose());
        let b = a.clone().mul_scalar(-4.7750) + a.clone().matmul(a).mul_scalar(2.0315);
        x = x.clone().mul_scalar(3.4445) + b.matmul(x);
    }
    x.cast(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Rng;
    use crate::weights::{download, matrix};
    use burn::tensor::Device;

    fn spec(name: &str, matrix: [usize; 2]) -> Spec {
        Spec { name: name.into(), shape: matrix.to_vec(), matrix }
    }

    fn random(shape: [usize; 2], seed: u64) -> Tensor<2> {
        let mut rng = Rng::new(&[seed]);
        let values = (0..shape[0] * shape[1]).map(|_| rng.normal() as f32).collect();
        matrix(values, shape, &Device::flex())
    }

    #[test]
    fn orthogonal_rows_have_about_unit_length_and_no_overlap() {
        let x = orthogonal(random([8, 24], 1).unsqueeze::<3>(), Precision::F32);
        let gram = download(&x.clone().matmul(x.transpose()).squeeze_dim::<2>(0));
        for (at, v) in gram.iter().enumerate() {
            let (low, high) = if at / 8 == at % 8 { (0.4, 1.5) } else { (-0.4, 0.4) };
            assert!((low..high).contains(v), "gram[{at}] = {v}");
        }
    }

    #[test]
    fn the_first_adamw_step_is_the_rate_in_the_sign_of_the_gradient() {
        let device = Device::flex();
        let mut weights = vec![matrix(vec![1.0, 2.0], [1, 2], &device)];
        let mut rule =
            Optimiser::new(Rule::Muon, Precision::F32, vec![spec("norm.bias", [1, 2])], &weights);
        rule.step(&mut weights, vec![matrix(vec![0.5, -3.0], [1, 2], &device)], 1, 0.1, 0.5);
        let moved = download(&weights[0]);
        assert!((moved[0] - 0.9).abs() < 1e-4 && (moved[1] - 2.1).abs() < 1e-4, "{moved:?}");
    }

    #[test]
    fn muon_moves_query_key_and_value_apart_and_tall_matrices_too() {
        for (name, shape) in
            [("blocks.0.attn.qkv.weight", [12, 4]), ("blocks.0.mlp.fc1.weight", [8, 4])]
        {
            let mut weights = vec![random(shape, 2).zeros_like()];
            let mut rule =
                Optimiser::new(Rule::Muon, Precision::F32, vec![spec(name, shape)], &weights);
            rule.step(&mut weights, vec![random(shape, 3)], 1, 0.01, 0.0);
            let height = if name.contains("qkv") { 4 } else { 8 };
            for start in (0..shape[0]).step_by(height) {
                let part = weights[0].clone().narrow(0, start, height);
                // Four singular values of about one each, times the scale.
                let scale = 0.01 * 0.2 * (height.max(4) as f32).sqrt();
                let length = part.square().sum().into_scalar::<f32>().sqrt() / scale;
                assert!((1.4..2.6).contains(&length), "{name} rows {start}..: {length}");
            }
        }
    }
}
