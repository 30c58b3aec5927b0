//! Softmax and layer norm as one step each of the differentiated graph.
//!
//! burn 0.22 differentiates both through their parts (five and nine steps over the whole tensor,
//! and as many again backwards), which costs more than the matrix products around them. Here each
//! has its own backward rule; libtorch runs its fused kernels, every other backend its own forward
//! and the textbook formula backwards.

#[cfg(feature = "wgpu")]
use burn::backend::Cube;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
#[cfg(feature = "libtorch")]
use burn::backend::{LibTorch, libtorch::TchTensor};
use burn::tensor::Tensor;

const EPSILON: f64 = 1e-5;

/// The two functions and their backward rules; rows are the last axis.
#[backend_extension(Autodiff, Flex, LibTorch: cfg(feature = "libtorch"), Cube: cfg(feature = "wgpu"))]
pub trait Fused: Backend {
    /// exp(x) / sum exp(x).
    fn rows_softmax(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let last = x.rank() - 1;
        Self::softmax(x, last)
    }

    /// The gradient of the softmax' input from its output `y` and its output's gradient.
    fn rows_softmax_backward(y: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        let last = y.rank() - 1;
        let product = Self::float_mul(y.clone(), grad.clone());
        let mean = Self::float_sum_dim(product, last);
        Self::float_mul(y, Self::float_sub(grad, mean))
    }

    /// (x - mean) / sqrt(variance + 1e-5) * gain + offset.
    fn rows_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        offset: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::layer_norm(x, gain, Some(offset), EPSILON)
    }

    /// The gradients of x and of the gain; the offset's is the column sum of `grad`.
    fn rows_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let width = gain.shape()[0];
        let centred = Self::float_sub(x.clone(), Self::float_mean_dim(x, 1));
        let square = Self::float_mul(centred.clone(), centred.clone());
        let variance = Self::float_mean_dim(square, 1);
        let spread = Self::float_sqrt(Self::float_add_scalar(variance, EPSILON.into()));
        let unit = Self::float_div(centred, spread.clone());
        let columns = Self::float_sum_dim(Self::float_mul(grad.clone(), unit.clone()), 0);
        let scaled = Self::float_mul(grad, Self::float_reshape(gain, [1, width].into()));
        let mean = Self::float_mean_dim(scaled.clone(), 1);
        let along = Self::float_mean_dim(Self::float_mul(scaled.clone(), unit.clone()), 1);
        let rest = Self::float_sub(Self::float_sub(scaled, mean), Self::float_mul(unit, along));
        (Self::float_div(rest, spread), Self::float_reshape(columns, [width].into()))
    }
}

impl Fused for Flex {}

#[cfg(feature = "wgpu")]
impl Fused for Cube {}

#[cfg(feature = "libtorch")]
impl Fused for LibTorch {
    fn rows_softmax_backward(y: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        let kind = y.tensor.kind();
        TchTensor::new(tch::Tensor::internal_softmax_backward_data(
            &grad.tensor,
            &y.tensor,
            -1,
            kind,
        ))
    }

    fn rows_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        // tch does not offer the backward kernel by itself: torch's own tape, one step long,
        // reaches it.
        let (x, gain) = (x.tensor.detach(), gain.tensor.detach());
        let (x, gain) = (x.set_requires_grad(true), gain.set_requires_grad(true));
        let y = x.layer_norm([x.size()[1]], Some(&gain), None, EPSILON, false);
        let sum = (y * &grad.tensor).sum(None);
        let mut found = tch::Tensor::run_backward(&[sum], &[x, gain], false, false).into_iter();
        let mut next = || TchTensor::new(found.next().expect("one gradient for each input"));
        (next(), next())
    }
}

impl<B: Fused, C: CheckpointStrategy> Fused for Autodiff<B, C> {
    fn rows_softmax(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Rule;

        impl<B: Fused> Backward<B, 1> for Rule {
            type State = FloatTensor<B>;

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                grads: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let grad = grads.consume::<B>(&ops.node);
                if let [Some(node)] = ops.parents {
                    grads.register::<B>(node.id, B::rows_softmax_backward(ops.state, grad));
                }
            }
        }

        match Rule.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::rows_softmax(x.into_primitive());
                prep.finish(y.clone(), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rows_softmax(x.into_primitive())),
        }
    }

    fn rows_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        offset: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Rule;

        impl<B: Fused> Backward<B, 3> for Rule {
            type State = (FloatTensor<B>, FloatTensor<B>);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let grad = grads.consume::<B>(&ops.node);
                let [x_node, gain_node, offset_node] = ops.parents;
                let (x, gain) = ops.state;
                let width = gain.shape();
                if let Some(node) = offset_node {
                    let sum = B::float_reshape(B::float_sum_dim(grad.clone(), 0), width);
                    grads.register::<B>(node.id, sum);
                }
                let (dx, dgain) = B::rows_norm_backward(x, gain, grad);
                if let Some(node) = x_node {
                    grads.register::<B>(node.id, dx);
                }
                if let Some(node) = gain_node {
                    grads.register::<B>(node.id, dgain);
                }
            }
        }

        let nodes = [x.node(), gain.node(), offset.node()];
        match Rule.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (x.primitive().clone(), gain.primitive().clone());
                prep.finish(
                    state,
                    B::rows_norm(
                        x.into_primitive(),
                        gain.into_primitive(),
                        offset.into_primitive(),
                    ),
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rows_norm(
                x.into_primitive(),
                gain.into_primitive(),
                offset.into_primitive(),
            )),
        }
    }
}

/// Softmax over the last axis.
pub fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as Fused>::rows_softmax(x.into_dispatch()))
}

/// Layer norm over the columns of a matrix.
pub fn layer_norm(x: Tensor<2>, gain: Tensor<1>, offset: Tensor<1>) -> Tensor<2> {
    let (x, gain, offset) = (x.into_dispatch(), gain.into_dispatch(), offset.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Fused>::rows_norm(x, gain, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Rng;
    use crate::weights::{download, matrix};
    use burn::tensor::{Device, activation, module};

    fn random(shape: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
        let mut rng = Rng::new(&[seed]);
        let values = (0..shape[0] * shape[1]).map(|_| rng.normal() as f32).collect();
        matrix(values, shape, device)
    }

    /// The function's value and its gradients with respect to x, gain and offset.
    fn probe(
        device: &Device,
        f: impl Fn(Tensor<2>, Tensor<1>, Tensor<1>) -> Tensor<2>,
    ) -> Vec<Vec<f32>> {
        let device = device.clone().autodiff();
        let leaf = |shape, seed| random(shape, seed, &device).require_grad();
        let (x, gain, offset) = (leaf([5, 7], 1), leaf([1, 7], 2), leaf([1, 7], 3));
        let y = f(x.clone(), gain.clone().reshape([7]), offset.clone().reshape([7]));
        let grads = (y.clone() * random([5, 7], 4, &device)).sum().backward();
        let mut found = vec![download(&y.inner())];
        found.extend([x, gain, offset].iter().filter_map(|t| t.grad(&grads)).map(|g| download(&g)));
        found
    }

    fn assert_close(got: &[Vec<f32>], expected: &[Vec<f32>], gradients: usize) {
        assert_eq!((got.len(), expected.len()), (1 + gradients, 1 + gradients));
        for (g, e) in got.iter().flatten().zip(expected.iter().flatten()) {
            assert!((g - e).abs() < 1e-4, "{got:?} for {expected:?}");
        }
    }

    #[test]
    fn both_rules_agree_with_burns_own_on_every_device() {
        for device in crate::device::all() {
            let expected = probe(&device, |x, _, _| activation::softmax(x, 1));
            assert_close(&probe(&device, |x, _, _| softmax(x)), &expected, 1);
            let expected = probe(&device, |x, g, o| module::layer_norm(x, g, Some(o), EPSILON));
            assert_close(&probe(&device, layer_norm), &expected, 3);
        }
    }
}
