//! The vision transformer of MPCViT as a burn graph: one function from patches to logits.
//!
//! The weights are the matrices of [`crate::weights`], in the order of its `specs`.
//!
//! Source: Zeng et al., "MPCViT" (ICCV 2023), and ViT-Lite of Compact-Transformers. The block is
//! `x += attn(LN1 x); x = LN2 x; x += W2 act(W1 x)`. The last block reads nothing but the class
//! token, so only that token gets a query, a projection and an MLP there; the logits are the same.

use burn::tensor::{DType, Tensor, activation};
use sotto_models::arch::{Activation, Arch, Attention};

use crate::attention::{self, attention};
use crate::fused;

/// Number type of the matrix products; sums, norms and weights stay float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Float32 throughout.
    F32,
    /// bfloat16 operands, which processors with AMX multiply about ten times faster.
    Bf16,
}

const BLOCK: usize = 11;
const FIRST_BLOCK: usize = 4;

/// Which tokens the final norm is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The class token alone: the last block leaves out the others.
    ClassToken,
    /// Every token.
    AllTokens,
}

/// What a batch yields.
#[derive(Debug, Clone)]
pub struct Output {
    /// `[images, classes]`.
    pub logits: Tensor<2>,
    /// The final norm's output, `[images, dim]` or `[images * tokens, dim]` as asked.
    pub features: Tensor<2>,
}

/// Shares of the kinds in every head and of the activations in every MLP, instead of one each.
#[derive(Debug, Clone)]
pub struct Mixture {
    /// The kinds of attention.
    pub kinds: Vec<Attention>,
    /// The activations.
    pub activations: Vec<Activation>,
    /// `[layers * heads, kinds]`.
    pub heads: Tensor<2>,
    /// `[layers, activations]`.
    pub mlps: Tensor<2>,
}

/// The logits of a batch; see [`run`].
pub fn forward(
    arch: &Arch,
    weights: &[Tensor<2>],
    patches: Tensor<2>,
    precision: Precision,
) -> Tensor<2> {
    run(arch, weights, patches, precision, Reach::ClassToken, None).logits
}

/// The logits and features of a batch. A `mixture` takes the place of the architecture's own kinds
/// and activations.
///
/// Shapes: `weights` as [`crate::weights::specs`] says; `patches` `[images * (tokens - 1), 3 * patch^2]`.
pub fn run(
    arch: &Arch,
    weights: &[Tensor<2>],
    patches: Tensor<2>,
    precision: Precision,
    reach: Reach,
    mixture: Option<&Mixture>,
) -> Output {
    let (n, d) = (arch.tokens(), arch.dim);
    let images = patches.dims()[0] / (n - 1);
    let low = |t: Tensor<2>| match precision {
        Precision::F32 => t,
        Precision::Bf16 => t.cast(DType::BF16),
    };
    let product = |x: Tensor<2>, w: Tensor<2>| low(x).matmul(low(w).transpose());
    let affine = |x: Tensor<2>, w: &[Tensor<2>]| product(x, w[0].clone()) + low(w[1].clone());
    let norm = |x: Tensor<2>, w: &[Tensor<2>]| {
        let vector = |t: &Tensor<2>| t.clone().reshape([d]);
        fused::layer_norm(x, vector(&w[0]), vector(&w[1]))
    };

    let tokens = affine(patches, &weights[0..2]).cast(DType::F32).reshape([images, n - 1, d]);
    let class = weights[2].clone().reshape([1, 1, d]).expand([images, 1, d]);
    let positions = weights[3].clone().reshape([1, n, d]);
    let mut x = (Tensor::cat(vec![class, tokens], 1) + positions).reshape([images * n, d]);

    let first_token = |t: Tensor<2>| t.reshape([images, n, d]).narrow(1, 0, 1).reshape([images, d]);
    for layer in 0..arch.layers {
        let w = &weights[FIRST_BLOCK + BLOCK * layer..][..BLOCK];
        let last = reach == Reach::ClassToken && layer + 1 == arch.layers;
        let h = norm(x.clone(), &w[0..2]);
        // Three products with a third of the weights each: cutting one wide result in three would
        // cost three full-size zero fills and two additions on the way back.
        let heads = |t: Tensor<2>, part: usize| -> Tensor<4> {
            let rows = t.dims()[0] / images;
            let t = product(t, w[2].clone().narrow(0, part * d, d));
            t.reshape([images, rows, arch.heads, arch.head_dim()]).permute([0, 2, 1, 3])
        };
        let mut h = low(h);
        let (k, v) = (heads(h.clone(), 1), heads(h.clone(), 2));
        if last {
            (x, h) = (first_token(x), first_token(h));
        }
        let q = heads(h, 0);
        let mixed = match mixture {
            None => attention(&arch.attention[layer], q, k, v),
            Some(m) => {
                let shares = m.heads.clone().narrow(0, layer * arch.heads, arch.heads);
                attention::mixture(&m.kinds, &shares, q, k, v)
            }
        };
        let rows = x.dims()[0];
        let mixed = mixed.permute([0, 2, 1, 3]).reshape([rows, d]);
        x = x + affine(mixed, &w[3..5]).cast(DType::F32);

        x = norm(x, &w[5..7]);
        let h = affine(x.clone(), &w[7..9]);
        let h = match mixture {
            None => activate(arch.activation[layer], h),
            Some(m) => {
                let parts = m.activations.iter().enumerate().map(|(i, &kind)| {
                    let share = m.mlps.clone().narrow(0, layer, 1).narrow(1, i, 1);
                    activate(kind, h.clone()).cast(DType::F32) * share
                });
                low(parts.reduce(|a, b| a + b).expect("a search has at least one activation"))
            }
        };
        x = x + affine(h, &w[9..11]).cast(DType::F32);
    }
    let end = FIRST_BLOCK + BLOCK * arch.layers;
    let features = norm(x, &weights[end..end + 2]);
    let class = match reach {
        Reach::ClassToken => features.clone(),
        Reach::AllTokens => first_token(features.clone()),
    };
    let logits = class.matmul(weights[end + 2].clone().transpose()) + weights[end + 3].clone();
    Output { logits, features }
}

fn activate(kind: Activation, x: Tensor<2>) -> Tensor<2> {
    match kind {
        Activation::Gelu => activation::gelu(x),
        Activation::Relu => activation::relu(x),
        _ => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Patcher, Rng, View};
    use crate::checkpoint::encode;
    use crate::weights::{download, initial, matrix, upload};
    use sotto_models::Weights;
    use sotto_models::float::{self, NoProbe};
    use sotto_models::images::{Picture, normalise};

    /// A small model of two layers of two heads, with all weights (norms and biases too) random.
    fn model(kinds: [Attention; 4], activation: Activation) -> (Arch, Vec<Vec<f32>>) {
        let cifar = Arch::vit_cifar();
        let mut arch =
            Arch { mean: cifar.mean, std: cifar.std, ..Arch::vit(2, 2, 16, 24, 32, 8, 10) };
        arch.attention = vec![kinds[..2].to_vec(), kinds[2..].to_vec()];
        arch.activation = vec![activation; 2];
        let mut weights = initial(&arch, 5);
        let mut rng = Rng::new(&[6]);
        for v in weights.iter_mut().flatten() {
            *v += 0.3 * rng.normal() as f32;
        }
        (arch, weights)
    }

    #[test]
    fn logits_are_those_of_the_float_reference_for_every_kind() {
        use Attention::{Linear, Relu, Softmax};
        let image: Vec<u8> = (0..3072).map(|i| (i * i % 251) as u8).collect();
        for (kinds, activation) in [
            ([Softmax; 4], Activation::Gelu),
            ([Relu; 4], Activation::Relu),
            ([Linear; 4], Activation::None),
            ([Softmax, Linear, Relu, Softmax], Activation::Gelu),
        ] {
            let (arch, values) = model(kinds, activation);
            let weights = Weights::from_bytes(&arch, &encode(&arch, &values)).unwrap();
            let picture = Picture { label: None, name: String::new(), pixels: image.clone() };
            let expected =
                float::forward(&arch, &weights, &normalise(&arch, &picture), &mut NoProbe);

            let mut patches = Vec::new();
            let patcher = Patcher::new(&arch);
            patcher.push(&patcher.planes(&image, View::default()), &mut patches);
            for device in crate::device::all() {
                let input = matrix(patches.clone(), [16, arch.patch_dim()], &device);
                let weights = upload(&arch, &values, &device);
                let got = download(&forward(&arch, &weights, input.clone(), Precision::F32));
                let all = download(
                    &run(&arch, &weights, input, Precision::F32, Reach::AllTokens, None).logits,
                );
                let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-3 * b.abs().max(1.0);
                assert!(got.iter().zip(&expected).all(near), "{kinds:?}: {got:?} for {expected:?}");
                assert!(all.iter().zip(&got).all(near), "{got:?} and {all:?}");
            }
        }
    }
}
