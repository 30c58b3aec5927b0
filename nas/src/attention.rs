//! The kinds of attention as burn graphs: one function each, and heads that mix several kinds.
//!
//! A new kind is a variant of [`Attention`], an arm of `one_kind` and its gate in `protocols`.

use burn::tensor::{DType, Tensor, activation};
use sotto_models::{arch::Attention, float::RELU_EPS};

use crate::fused;

/// Each head's attention in its own kind.
///
/// Shapes: q `[images, heads, queries, head dim]`, k and v `[images, heads, tokens, head dim]`,
/// result as q.
pub fn attention(kinds: &[Attention], q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
    let mut heads = Vec::with_capacity(kinds.len());
    let mut start = 0;
    // Neighbouring heads of one kind go through one batched product.
    while start < kinds.len() {
        let same = kinds[start..].iter().take_while(|&&kind| kind == kinds[start]).count();
        if same == kinds.len() {
            return Operands::new(q, k, v).one_kind(kinds[0]);
        }
        let part = |t: &Tensor<4>| t.clone().narrow(1, start, same);
        heads.push(Operands::new(part(&q), part(&k), part(&v)).one_kind(kinds[start]));
        start += same;
    }
    Tensor::cat(heads, 1)
}

/// Each head's mixture of all `kinds`: sum over kinds of weight times that kind's result.
///
/// Shapes: `weights` `[heads, kinds]`, the rest as [`attention`].
///
/// Cost: the scores are computed once for all kinds that need them.
pub fn mixture(
    kinds: &[Attention],
    weights: &Tensor<2>,
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
) -> Tensor<4> {
    let (dtype, heads) = (v.dtype(), v.dims()[1]);
    let mut operands = Operands::new(q, k, v);
    let parts = kinds.iter().enumerate().map(|(i, &kind)| {
        let weight = weights.clone().narrow(1, i, 1).reshape([1, heads, 1, 1]);
        // In float32: the weights' gradients are sums over a whole batch.
        operands.one_kind(kind).cast(DType::F32) * weight
    });
    parts.reduce(|a, b| a + b).expect("a search has at least one kind").cast(dtype)
}

/// Query, key and value, and their scores once somebody asked for them.
struct Operands {
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    scores: Option<Tensor<4>>,
}

impl Operands {
    fn new(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Self {
        let width = k.dims()[3];
        Self { q: q.mul_scalar(1.0 / (width as f64).sqrt()), k, v, scores: None }
    }

    fn scores(&mut self) -> Tensor<4> {
        let scores = || self.q.clone().matmul(self.k.clone().transpose());
        self.scores.get_or_insert_with(scores).clone()
    }

    fn one_kind(&mut self, kind: Attention) -> Tensor<4> {
        let (q, k, v) = (self.q.clone(), self.k.clone(), self.v.clone());
        match kind {
            Attention::Softmax => fused::softmax(self.scores()).matmul(v),
            Attention::Relu => {
                let scores = activation::relu(self.scores());
                let sums = scores.clone().sum_dim(3).add_scalar(RELU_EPS);
                scores.matmul(v) / sums
            }
            Attention::Linear => {
                let tokens = k.dims()[2];
                q.matmul(k.transpose().matmul(v)).div_scalar(tokens as f64)
            }
            other => unreachable!("attention kind {} has no training graph", other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Rng;
    use burn::tensor::{Device, TensorData};

    fn random(shape: [usize; 4], seed: u64, device: &Device) -> Tensor<4> {
        let mut rng = Rng::new(&[seed]);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
    }

    fn weights(values: [f32; 6], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), [2, 3]), (device, DType::F32))
    }

    fn values(t: Tensor<4>) -> Vec<f32> {
        t.to_data().as_slice::<f32>().unwrap().to_vec()
    }

    #[test]
    fn a_mixture_at_a_corner_is_the_kind_and_elsewhere_the_weighted_sum() {
        let device = Device::flex();
        let [q, k, v] = [1, 2, 3].map(|seed| random([2, 2, 5, 4], seed, &device));
        let all = Attention::ALL;
        let mixed =
            |w| values(mixture(&all, &weights(w, &device), q.clone(), k.clone(), v.clone()));
        let one =
            |kinds: [Attention; 2]| values(attention(&kinds, q.clone(), k.clone(), v.clone()));
        let corner = mixed([0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let expected = one([Attention::Relu, Attention::Linear]);
        assert!(corner.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
        let [softmax, relu, linear] = all.map(|kind| one([kind; 2]));
        let share = [0.2, 0.5, 0.3];
        let blend = mixed([0.2, 0.5, 0.3, 0.2, 0.5, 0.3]);
        for (i, b) in blend.iter().enumerate() {
            let sum = share[0] * softmax[i] + share[1] * relu[i] + share[2] * linear[i];
            assert!((b - sum).abs() < 1e-5, "{b} for {sum}");
        }
    }

    #[test]
    fn a_weights_gradient_is_its_kinds_result_along_the_outputs_gradient() {
        let device = Device::flex().autodiff();
        let [q, k, v, g] = [1, 2, 3, 4].map(|seed| random([2, 2, 5, 4], seed, &device));
        let w = weights([0.2, 0.5, 0.3, 0.1, 0.2, 0.7], &device).require_grad();
        let out = mixture(&Attention::ALL, &w, q.clone(), k.clone(), v.clone());
        let grads = (out * g.clone()).sum().backward();
        let got = w.grad(&grads).unwrap().to_data();
        for (i, kind) in Attention::ALL.into_iter().enumerate() {
            let out = attention(&[kind; 2], q.clone(), k.clone(), v.clone());
            let along = (out * g.clone()).inner().sum_dims(&[0, 2, 3]).to_data();
            for head in 0..2 {
                let (a, b) = (
                    along.as_slice::<f32>().unwrap()[head],
                    got.as_slice::<f32>().unwrap()[3 * head + i],
                );
                assert!((a - b).abs() < 1e-4, "{} head {head}: {b} for {a}", kind.name());
            }
        }
    }
}
