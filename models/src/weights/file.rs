//! Files of weights: safetensors, with the names and shapes that the model has.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use super::{Precision, Tensor, Weights};
use crate::{Error, Model, files};

impl Weights {
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
}

/// A file that is not far larger than the model.
fn bounded(path: &Path, model: &Model) -> Result<Vec<u8>, Error> {
    // Room for float64 and for a few tensors too many, which the checks then name.
    files::read(path, 16 * model.parameters() as u64 + (1 << 20))
}

/// Whether a file has the model's tensors and no other.
pub(super) fn same_names(
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

pub(super) fn finite(name: &str, values: &[f32]) -> Result<(), Error> {
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
