//! Centred keys: softmax does not see a constant that is added to every key, so that a key's bias is free.
//!
//! `softmax(q (k + c)) = softmax(q k)` for any `c`, as `q c` is added to a whole row of scores. Real models have keys with
//! a large mean (DINOv2: scores of 341 nats, of which 42 are left), and scores have to fit a window.

use crate::{
    Model, Weights,
    kind::Attention,
    probe::{Probe, Tensor},
};

/// The sum of each layer's keys, and how many they were.
pub(crate) struct Keys {
    sums: Vec<Vec<f64>>,
    rows: Vec<usize>,
}

impl Keys {
    /// None seen yet.
    pub(crate) fn new(model: &Model) -> Self {
        let (layers, d) = (model.stack.layers, model.stack.width);
        Self { sums: vec![vec![0.0; d]; layers], rows: vec![0; layers] }
    }
}

impl Probe for Keys {
    fn see(&mut self, layer: usize, tensor: Tensor, values: &[f32]) {
        if tensor != Tensor::Key {
            return;
        }
        let d = self.sums[layer].len();
        for row in values.chunks_exact(d) {
            self.rows[layer] += 1;
            self.sums[layer].iter_mut().zip(row).for_each(|(sum, &k)| *sum += f64::from(k));
        }
    }
}

impl Keys {
    /// The same model with the mean of these keys taken from the bias of its softmax heads' keys: the same results, from
    /// smaller scores.
    ///
    /// Heads of other kinds, and models without a bias of their keys, stay as they are. Layers that share their weights share
    /// the mean.
    pub(crate) fn centred(&self, model: &Model, weights: &Weights) -> Weights {
        let mut centred = weights.clone();
        if !model.stack.qkv_bias {
            return centred;
        }
        let (d, dh) = (model.stack.width, model.stack.head_dim());
        for layers in model.owners() {
            let rows: usize = layers.iter().map(|&l| self.rows[l]).sum();
            let bias = centred.values_mut(&format!("{}.attn.qkv.bias", model.block(layers[0])));
            for (i, bias) in bias[d..2 * d].iter_mut().enumerate() {
                let softmax = |&l: &usize| model.stack.attention[l][i / dh] == Attention::Softmax;
                if rows > 0 && layers.iter().all(softmax) {
                    let sum: f64 = layers.iter().map(|&l| self.sums[l][i]).sum();
                    *bias = (f64::from(*bias) - sum / rows as f64) as f32;
                }
            }
        }
        centred
    }
}
