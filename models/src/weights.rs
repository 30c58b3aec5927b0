//! The weights of a model: safetensors under the names of [`Model::tensors`], checked against a description.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::TAU;
use std::fmt;
use std::path::Path;

use half::{bf16, f16};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use crate::{Error, Model};

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

    /// Reads a safetensors file of f32, f16 or bf16 tensors.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] for a malformed file or for tensors missing or not expected, which it
    /// names; [`Error::Tensor`] for a tensor of another shape or type, or with a value that is not
    /// finite; [`Error::Arch`] where the architecture itself is not valid.
    pub fn from_bytes(model: impl Into<Model>, bytes: &[u8]) -> Result<Self, Error> {
        let model = model.into();
        model.validate()?;
        let shapes = model.tensors();
        Self::read(&model, shapes, bytes)
    }

    /// Reads a safetensors file of the tensors of [`Weights::public`] alone.
    ///
    /// # Errors
    /// As [`Weights::from_bytes`].
    pub fn public_from_bytes(model: &Model, bytes: &[u8]) -> Result<Self, Error> {
        model.validate()?;
        let shapes = model.tensors().into_iter().filter(|(name, _)| model.is_public(name));
        Self::read(model, shapes.collect(), bytes)
    }

    /// The tensors of these names and shapes, and no others.
    fn read(model: &Model, shapes: Vec<(String, Vec<usize>)>, bytes: &[u8]) -> Result<Self, Error> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| Error::WeightsFile(format!("not a safetensors file: {e}")))?;
        same_names(model, &shapes, &file.names().into_iter().collect())?;
        let mut tensors = BTreeMap::new();
        for (name, shape) in shapes {
            let view = file.tensor(&name).expect("the names were just compared");
            if view.shape() != shape {
                let why = format!("has shape {:?}; expected {shape:?}", view.shape());
                return Err(Error::tensor(name, why));
            }
            let values = decode(&name, &view)?;
            finite(&name, &values)?;
            tensors.insert(name, Tensor { shape, values });
        }
        Ok(Weights { tensors })
    }

    /// Writes a safetensors file, tensors in a fixed order.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a value that is too large for `precision`.
    pub fn to_bytes(&self, precision: Precision) -> Result<Vec<u8>, Error> {
        if precision == Precision::F16 {
            for (name, tensor) in &self.tensors {
                if let Some(at) = tensor.values.iter().position(|&x| !f16::from_f32(x).is_finite())
                {
                    let why = format!("does not fit f16, at element {at}; save it as f32");
                    return Err(Error::tensor(name, why));
                }
            }
        }
        let views = self.tensors.iter().map(|(name, tensor)| (name, Encoded { tensor, precision }));
        safetensors::serialize(views, None)
            .map_err(|e| Error::WeightsFile(format!("cannot be serialised: {e}")))
    }

    /// Reads a weights file; see [`Weights::from_bytes`].
    ///
    /// # Errors
    /// As [`Weights::from_bytes`]; also [`Error::Io`], and [`Error::WeightsFile`] for a file far
    /// larger than the model, before it is read.
    pub fn load(path: &Path, model: impl Into<Model>) -> Result<Self, Error> {
        let model = model.into();
        model.validate()?;
        let bytes = bounded(path, &model)?;
        Weights::from_bytes(model, &bytes)
    }

    /// Reads a file of the public tensors alone; see [`Weights::public_from_bytes`].
    ///
    /// # Errors
    /// As [`Weights::load`].
    pub fn load_public(path: &Path, model: &Model) -> Result<Self, Error> {
        model.validate()?;
        Weights::public_from_bytes(model, &bounded(path, model)?)
    }

    /// Writes a weights file; see [`Weights::to_bytes`].
    ///
    /// # Errors
    /// As [`Weights::to_bytes`]; also [`Error::Io`].
    pub fn save(&self, path: &Path, precision: Precision) -> Result<(), Error> {
        std::fs::write(path, self.to_bytes(precision)?).map_err(Error::io(path))
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

/// A file that is not far larger than the model.
fn bounded(path: &Path, model: &Model) -> Result<Vec<u8>, Error> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    // Room for float64 and for a few tensors too many, which the checks then name.
    let most = 16 * model.parameters() as u64 + (1 << 20);
    if size > most {
        let why = format!("{} has {size} bytes; `{}` needs fewer", path.display(), model.name);
        return Err(Error::WeightsFile(why));
    }
    std::fs::read(path).map_err(Error::io(path))
}

/// Whether a file has the model's tensors and no other.
fn same_names(
    model: &Model,
    shapes: &[(String, Vec<usize>)],
    found: &BTreeSet<&str>,
) -> Result<(), Error> {
    let wanted: BTreeSet<&str> = shapes.iter().map(|(name, _)| name.as_str()).collect();
    if wanted == *found {
        return Ok(());
    }
    let (missing, extra) = (listed(wanted.difference(found)), listed(found.difference(&wanted)));
    let why = format!("for `{}`: missing {missing}; not expected {extra}", model.name);
    Err(Error::WeightsFile(why))
}

fn finite(name: &str, values: &[f32]) -> Result<(), Error> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(at) => {
            let why = format!("holds a value that is not finite, at element {at}");
            Err(Error::tensor(name, why))
        }
        None => Ok(()),
    }
}

/// A few names for a message. They may come from a hostile file, so they are escaped and cut.
fn listed<'a>(names: impl Iterator<Item = &'a &'a str>) -> String {
    let names: Vec<&str> = names.copied().collect();
    let cut = |n: &&str| format!("{:?}", n.chars().take(64).collect::<String>());
    let shown: Vec<String> = names.iter().take(6).map(cut).collect();
    match names.len() {
        0 => "none".to_string(),
        n if n > shown.len() => format!("{} and {} more", shown.join(", "), n - shown.len()),
        _ => shown.join(", "),
    }
}

fn decode(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, Error> {
    let halves = || view.data().chunks_exact(2).map(|b| [b[0], b[1]]);
    Ok(match view.dtype() {
        Dtype::F32 => {
            let words = view.data().chunks_exact(4);
            words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        Dtype::F16 => halves().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => halves().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        other => {
            let why = format!("has type {other}; accepted: F32, F16, BF16");
            return Err(Error::tensor(name, why));
        }
    })
}

/// A tensor as the serialiser wants to see it.
struct Encoded<'a> {
    tensor: &'a Tensor,
    precision: Precision,
}

impl View for Encoded<'_> {
    fn dtype(&self) -> Dtype {
        match self.precision {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.tensor.values.iter();
        Cow::Owned(match self.precision {
            Precision::F32 => values.flat_map(|x| x.to_le_bytes()).collect(),
            Precision::F16 => values.flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        let width = if self.precision == Precision::F32 { 4 } else { 2 };
        width * self.tensor.values.len()
    }
}

#[cfg(test)]
mod tests;
