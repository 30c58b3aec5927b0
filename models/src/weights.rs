//! The weights of a model: safetensors under the names of [`Model::tensors`], checked against a description.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fmt;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::{Error, Model};
use file::{finite, same_names};

/// How [`Weights::to_bytes`] writes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// IEEE single precision: exact.
    F32,
    /// IEEE half precision: rounded to nearest, 11 significant bits.
    F16,
}

/// An affine map y = W x + b.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    /// Length of y: rows of W.
    pub outputs: usize,
    /// Length of x: columns of W.
    pub inputs: usize,
    /// W by rows, `outputs * inputs` numbers.
    pub w: &'a [f32],
    /// b, where the map has one.
    pub bias: Option<&'a [f32]>,
}

/// The gain and offset of a layer norm.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// What the normalised values are multiplied by.
    pub weight: &'a [f32],
    /// What is added after that.
    pub bias: &'a [f32],
}

#[derive(Clone, PartialEq)]
struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// All weights of one model as float32.
///
/// Security: they are the model owner's secret; `Debug` prints counts only.
#[derive(Clone, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters = self.parameters();
        write!(f, "Weights {{ {} tensors, {parameters} parameters, .. }}", self.tensors.len())
    }
}

impl Weights {
    /// The weights of `model` (a [`Model`] or an [`crate::Arch`]) from values by name, in any order.
    ///
    /// # Errors
    /// [`Error::Arch`] where the model is not valid, [`Error::WeightsFile`] for tensors missing or not expected,
    /// [`Error::Tensor`] for one with another number of values, or with a value that is not finite.
    pub fn from_values(
        model: impl Into<Model>,
        mut values: BTreeMap<String, Vec<f32>>,
    ) -> Result<Self, Error> {
        let model = model.into();
        model.validate()?;
        let shapes = model.tensors();
        let found = values.keys().map(String::as_str).collect();
        same_names(&model, &shapes, &found)?;
        let mut tensors = BTreeMap::new();
        for (name, shape) in shapes {
            let values = values.remove(&name).expect("the names were just compared");
            if values.len() != shape.iter().product::<usize>() {
                let why = format!("has {} values; expected {shape:?}", values.len());
                return Err(Error::tensor(name, why));
            }
            finite(&name, &values)?;
            tensors.insert(name, Tensor { shape, values });
        }
        Ok(Weights { tensors })
    }

    /// Random weights at the scale of the peers' benchmarks: matrices normal with variance
    /// 1/inputs, biases 0.02, class token and positions 0.2, norm weights 1. The same seed gives
    /// the same bits on every machine.
    ///
    /// # Panics
    /// Where `model` does not pass [`Model::validate`].
    pub fn random(model: impl Into<Model>, seed: u64) -> Self {
        let model = model.into();
        model.validate().expect("only a valid architecture has weights");
        let mut tensors = BTreeMap::new();
        for (stream, (name, shape)) in (0..).zip(model.tensors()) {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            rng.set_stream(stream);
            let count = shape.iter().product();
            let values = if shape.len() == 1 && name.ends_with(".weight") {
                vec![1.0; count]
            } else {
                let std = match name.as_str() {
                    "cls_token" | "pos_embed" => 0.2,
                    _ if shape.len() == 1 => 0.02,
                    _ => 1.0 / (shape[1..].iter().product::<usize>() as f64).sqrt(),
                };
                (0..count).map(|_| (std * normal(&mut rng)) as f32).collect()
            };
            tensors.insert(name, Tensor { shape, values });
        }
        Weights { tensors }
    }

    /// The tensors that the client may have ([`Model::is_public`]), with which it embeds its texts.
    pub fn public(&self, model: &Model) -> Self {
        let public = self.tensors.iter().filter(|(name, _)| model.is_public(name));
        Weights { tensors: public.map(|(name, t)| (name.clone(), t.clone())).collect() }
    }

    /// Number of weights in all.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(|t| t.values.len()).sum()
    }

    /// BLAKE3 of names, shapes and float32 values in the order of the names.
    ///
    /// A file's layout and its number type do not matter, only the values.
    pub fn hash(&self) -> [u8; 32] {
        let mut h = blake3::Hasher::new_derive_key("sottovoce 2025 model weights v1");
        for (name, tensor) in &self.tensors {
            h.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            h.update(&(tensor.shape.len() as u64).to_le_bytes());
            for &n in &tensor.shape {
                h.update(&(n as u64).to_le_bytes());
            }
            let bytes: Vec<u8> = tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect();
            h.update(&bytes);
        }
        *h.finalize().as_bytes()
    }

    /// Every tensor's name and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), &tensor.values[..]))
    }

    /// The values of one tensor by its name in the file.
    ///
    /// # Panics
    /// Where the model has no such tensor.
    pub fn values(&self, name: &str) -> &[f32] {
        &self.find(name).values
    }

    pub(crate) fn values_mut(&mut self, name: &str) -> &mut [f32] {
        let tensor = self.tensors.get_mut(name);
        &mut tensor.unwrap_or_else(|| panic!("the model has no tensor `{name}`")).values
    }

    /// The map `name.weight`, `name.bias`, such as `blocks.0.mlp.fc1` or `patch_embed`; axes after
    /// the first (a convolution's) count as inputs.
    ///
    /// # Panics
    /// Where the model has no such map.
    pub fn linear(&self, name: &str) -> Linear<'_> {
        let w = self.find(&format!("{name}.weight"));
        Linear {
            outputs: w.shape[0],
            inputs: w.shape[1..].iter().product(),
            w: &w.values,
            bias: self.tensors.get(&format!("{name}.bias")).map(|b| &b.values[..]),
        }
    }

    /// The layer norm `name.weight`, `name.bias`, such as `blocks.0.norm1` or `norm`.
    ///
    /// # Panics
    /// Where the model has no such norm.
    pub fn norm(&self, name: &str) -> Norm<'_> {
        Norm {
            weight: self.values(&format!("{name}.weight")),
            bias: self.values(&format!("{name}.bias")),
        }
    }

    fn find(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("the model has no tensor `{name}`"))
    }
}

/// One standard normal number by Box and Muller, in libm's arithmetic so that it is portable.
fn normal(rng: &mut ChaCha20Rng) -> f64 {
    let unit = |x: u64| ((x >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (u, v) = (unit(rng.next_u64()), unit(rng.next_u64()));
    libm::sqrt(-2.0 * libm::log(u)) * libm::cos(TAU * v)
}
