//! The weights of a model: safetensors under timm's names, checked against an [`Arch`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::TAU;
use std::fmt;
use std::path::Path;

use half::{bf16, f16};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use crate::{Arch, Error};

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

/// The weights of one layer, in the order of their use.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// The norm before attention.
    pub norm1: Norm<'a>,
    /// Queries, keys and values, in this order: 3 * dim outputs, no bias.
    pub qkv: Linear<'a>,
    /// The projection after attention.
    pub proj: Linear<'a>,
    /// The norm before the MLP, whose output is also the base of the MLP's residual.
    pub norm2: Norm<'a>,
    /// The MLP's first product.
    pub fc1: Linear<'a>,
    /// The MLP's second product.
    pub fc2: Linear<'a>,
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
    /// The name and shape of every tensor that a model has, in the order of their use.
    pub fn shapes(arch: &Arch) -> Vec<(String, Vec<usize>)> {
        let (d, m, p) = (arch.dim, arch.mlp, arch.patch);
        let mut all = vec![
            ("patch_embed.weight".to_string(), vec![d, arch.channels, p, p]),
            ("patch_embed.bias".to_string(), vec![d]),
            ("cls_token".to_string(), vec![1, 1, d]),
            ("pos_embed".to_string(), vec![1, arch.tokens(), d]),
        ];
        for layer in 0..arch.layers {
            let block = [
                ("norm1.weight", vec![d]),
                ("norm1.bias", vec![d]),
                ("attn.qkv.weight", vec![3 * d, d]),
                ("attn.proj.weight", vec![d, d]),
                ("attn.proj.bias", vec![d]),
                ("norm2.weight", vec![d]),
                ("norm2.bias", vec![d]),
                ("mlp.fc1.weight", vec![m, d]),
                ("mlp.fc1.bias", vec![m]),
                ("mlp.fc2.weight", vec![d, m]),
                ("mlp.fc2.bias", vec![d]),
            ];
            all.extend(block.map(|(name, shape)| (format!("blocks.{layer}.{name}"), shape)));
        }
        all.push(("norm.weight".to_string(), vec![d]));
        all.push(("norm.bias".to_string(), vec![d]));
        all.push(("head.weight".to_string(), vec![arch.classes, d]));
        all.push(("head.bias".to_string(), vec![arch.classes]));
        all
    }

    /// Random weights at the scale of the peers' benchmarks: matrices normal with variance
    /// 1/inputs, biases 0.02, class token and positions 0.2, norm weights 1. The same seed gives
    /// the same bits on every machine.
    ///
    /// # Panics
    /// Where `arch` does not pass [`Arch::validate`].
    pub fn random(arch: &Arch, seed: u64) -> Self {
        arch.validate().expect("only a valid architecture has weights");
        let mut tensors = BTreeMap::new();
        for (stream, (name, shape)) in (0..).zip(Weights::shapes(arch)) {
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
    pub fn from_bytes(arch: &Arch, bytes: &[u8]) -> Result<Self, Error> {
        arch.validate()?;
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| Error::WeightsFile(format!("not a safetensors file: {e}")))?;
        let shapes = Weights::shapes(arch);
        let wanted: BTreeSet<&str> = shapes.iter().map(|(name, _)| name.as_str()).collect();
        let found: BTreeSet<&str> = file.names().into_iter().collect();
        if wanted != found {
            let missing = listed(wanted.difference(&found));
            let extra = listed(found.difference(&wanted));
            let why = format!("for `{}`: missing {missing}; not expected {extra}", arch.name);
            return Err(Error::WeightsFile(why));
        }
        let mut tensors = BTreeMap::new();
        for (name, shape) in shapes {
            let view = file.tensor(&name).expect("the names were just compared");
            if view.shape() != shape {
                let why = format!("has shape {:?}; expected {shape:?}", view.shape());
                return Err(Error::tensor(name, why));
            }
            let values = decode(&name, &view)?;
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                let why = format!("holds a value that is not finite, at element {at}");
                return Err(Error::tensor(name, why));
            }
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
    pub fn load(path: &Path, arch: &Arch) -> Result<Self, Error> {
        arch.validate()?;
        let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
        // Room for float64 and for a few tensors too many, which the checks then name.
        let most = 16 * arch.parameters() as u64 + (1 << 20);
        if size > most {
            let why = format!("{} has {size} bytes; `{}` needs fewer", path.display(), arch.name);
            return Err(Error::WeightsFile(why));
        }
        Weights::from_bytes(arch, &std::fs::read(path).map_err(Error::io(path))?)
    }

    /// Writes a weights file; see [`Weights::to_bytes`].
    ///
    /// # Errors
    /// As [`Weights::to_bytes`]; also [`Error::Io`].
    pub fn save(&self, path: &Path, precision: Precision) -> Result<(), Error> {
        std::fs::write(path, self.to_bytes(precision)?).map_err(Error::io(path))
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

    /// The values of one tensor by its name in the file.
    ///
    /// # Panics
    /// Where the model has no such tensor.
    pub fn values(&self, name: &str) -> &[f32] {
        &self.find(name).values
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

    /// The weights of one layer.
    ///
    /// # Panics
    /// Where the model has no such layer.
    pub fn block(&self, layer: usize) -> Block<'_> {
        let name = |part: &str| format!("blocks.{layer}.{part}");
        Block {
            norm1: self.norm(&name("norm1")),
            qkv: self.linear(&name("attn.qkv")),
            proj: self.linear(&name("attn.proj")),
            norm2: self.norm(&name("norm2")),
            fc1: self.linear(&name("mlp.fc1")),
            fc2: self.linear(&name("mlp.fc2")),
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
mod tests {
    use super::*;

    fn small() -> Arch {
        Arch::vit(2, 2, 8, 12, 8, 4, 3)
    }

    struct Raw {
        name: String,
        kind: Dtype,
        shape: Vec<usize>,
        data: Vec<u8>,
    }

    /// A file with its tensors passed through `edit`, which may change each or refuse it.
    fn edited(edit: impl Fn(&mut Raw) -> bool) -> Vec<u8> {
        let bytes = Weights::random(&small(), 1).to_bytes(Precision::F32).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut kept = Vec::new();
        for (name, view) in file.tensors() {
            let (kind, shape) = (view.dtype(), view.shape().to_vec());
            let mut raw = Raw { name, kind, shape, data: view.data().to_vec() };
            if edit(&mut raw) {
                kept.push(raw);
            }
        }
        let views = kept.iter().map(|raw| {
            (&raw.name, TensorView::new(raw.kind, raw.shape.clone(), &raw.data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn shapes_agree_with_the_parameter_count() {
        for arch in [small(), Arch::vit_cifar(), Arch::vit_tiny()] {
            let count = |(_, s): (String, Vec<usize>)| s.iter().product::<usize>();
            let sum: usize = Weights::shapes(&arch).into_iter().map(count).sum();
            assert_eq!(sum, arch.parameters());
        }
        assert_eq!(Weights::random(&small(), 1).parameters(), small().parameters());
    }

    #[test]
    fn random_weights_have_the_benchmark_scale() {
        let weights = Weights::random(&Arch::vit_cifar(), 7);
        for (name, std) in [
            ("blocks.3.attn.qkv.weight", 1.0 / 16.0),
            ("blocks.3.mlp.fc2.weight", 1.0 / 512f64.sqrt()),
            ("patch_embed.weight", 1.0 / 48f64.sqrt()),
            ("pos_embed", 0.2),
        ] {
            let values = weights.values(name);
            let n = values.len() as f64;
            let mean = values.iter().map(|&x| x as f64).sum::<f64>() / n;
            let var = values.iter().map(|&x| (x as f64).powi(2)).sum::<f64>() / n;
            assert!(mean.abs() < 5.0 * std / n.sqrt(), "{name}: mean {mean}");
            assert!((var.sqrt() / std - 1.0).abs() < 5.0 / n.sqrt(), "{name}: {}", var.sqrt());
        }
        assert!(weights.values("norm.weight").iter().all(|&x| x == 1.0));
        let bias = weights.values("blocks.0.mlp.fc1.bias");
        assert!(bias.iter().all(|x| x.abs() < 0.12) && bias[0] != bias[1]);
    }

    #[test]
    fn seeds_are_reproducible() {
        let w = Weights::random(&small(), 1);
        assert_eq!(w.hash(), Weights::random(&small(), 1).hash());
        assert_ne!(w.hash(), Weights::random(&small(), 2).hash());
        assert_ne!(w.values("blocks.0.attn.proj.weight"), w.values("blocks.1.attn.proj.weight"));
    }

    #[test]
    fn files_round_trip() {
        let weights = Weights::random(&small(), 1);
        let exact = weights.to_bytes(Precision::F32).unwrap();
        assert_eq!(Weights::from_bytes(&small(), &exact).unwrap(), weights);
        let short = weights.to_bytes(Precision::F16).unwrap();
        assert!(short.len() * 3 < exact.len() * 2);
        let rounded = Weights::from_bytes(&small(), &short).unwrap();
        assert_ne!(rounded.hash(), weights.hash());
        for (name, tensor) in &weights.tensors {
            for (a, b) in tensor.values.iter().zip(rounded.values(name)) {
                assert!((a - b).abs() <= a.abs() / 2048.0 + 6e-8, "{name}: {a} {b}");
            }
        }
        assert_eq!(rounded.to_bytes(Precision::F16).unwrap(), short);
    }

    #[test]
    fn bf16_is_read() {
        let bytes = edited(|raw| {
            raw.kind = Dtype::BF16;
            raw.data = raw.data.chunks_exact(4).flat_map(|b| [b[2], b[3]]).collect();
            true
        });
        let read = Weights::from_bytes(&small(), &bytes).unwrap();
        let weights = Weights::random(&small(), 1);
        for (a, b) in weights.values("head.weight").iter().zip(read.values("head.weight")) {
            assert_eq!(f32::from_bits(a.to_bits() & 0xffff_0000), *b);
        }
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        let only = |name: &str, edit: fn(&mut Raw)| {
            edited(|raw| {
                if raw.name == name {
                    edit(raw);
                }
                true
            })
        };
        let whole = edited(|_| true);
        let nan = |raw: &mut Raw| raw.data[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        let inf = |raw: &mut Raw| raw.data[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes());
        let cases: [(Vec<u8>, &str); 8] = [
            (edited(|raw| raw.name != "cls_token"), "missing \"cls_token\"; not expected none"),
            (edited(|raw| !raw.name.starts_with("blocks.1")), "and 5 more; not expected none"),
            (
                only("head.weight", |raw| raw.shape.reverse()),
                "`head.weight` has shape [8, 3]; expected [3, 8]",
            ),
            (
                only("norm.bias", |raw| raw.kind = Dtype::I32),
                "`norm.bias` has type I32; accepted: F32, F16, BF16",
            ),
            (only("head.bias", nan), "`head.bias` holds a value that is not finite, at element 2"),
            (only("cls_token", inf), "`cls_token` holds a value that is not finite, at element 1"),
            (whole[..900].to_vec(), "not a safetensors file"),
            (Vec::new(), "not a safetensors file"),
        ];
        for (bytes, part) in cases {
            let said = Weights::from_bytes(&small(), &bytes).unwrap_err().to_string();
            assert!(said.contains(part), "{said}");
        }
        let deeper = Arch::vit(3, 2, 8, 12, 8, 4, 3);
        let said = Weights::from_bytes(&deeper, &whole).unwrap_err().to_string();
        assert!(said.contains("missing \"blocks.2."), "{said}");
        let shallower = Arch::vit(1, 2, 8, 12, 8, 4, 3);
        let said = Weights::from_bytes(&shallower, &whole).unwrap_err().to_string();
        assert!(said.contains("missing none; not expected \"blocks.1."), "{said}");
    }

    #[test]
    fn half_precision_refuses_what_overflows() {
        let mut weights = Weights::random(&small(), 1);
        weights.tensors.get_mut("head.bias").unwrap().values[1] = 70000.0;
        let said = weights.to_bytes(Precision::F16).unwrap_err().to_string();
        assert!(said.contains("`head.bias` does not fit f16, at element 1"), "{said}");
        assert!(!said.contains("70000"));
        weights.to_bytes(Precision::F32).unwrap();
    }

    #[test]
    fn debug_shows_no_weight() {
        let shown = format!("{:?}", Weights::random(&small(), 1));
        let parameters = small().parameters();
        assert_eq!(shown, format!("Weights {{ 30 tensors, {parameters} parameters, .. }}"));
    }
}
