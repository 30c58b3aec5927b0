//! The tensors of a checkpoint: one safetensors file, or shards with an index.
//!
//! Headers are read first, so that names, shapes and sizes are known and compared before a value is read; then each tensor
//! is read once, by itself, through a small buffer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use half::{bf16, f16};
use safetensors::{Dtype, tensor::Metadata};
use serde::Deserialize;

use crate::{
    error::{Error, listed, shown},
    folder::Folder,
};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Most bytes of headers that are parsed, of all shards together.
const MAX_HEADER: u64 = 16 << 20;
/// Longest index that is parsed, in bytes.
const MAX_INDEX: u64 = 16 << 20;
/// Most shards.
const MAX_SHARDS: usize = 256;
/// Bytes that are read at a time; a multiple of every number's size.
const CHUNK: usize = 1 << 20;

/// The line that turns a folder of pickled weights into one that we read.
const CONVERT: &str = "python -c \"import sys, torch; from safetensors.torch import save_file; f = sys.argv[1]; \
    save_file({k: v.clone().contiguous() for k, v in torch.load(f + '/pytorch_model.bin', map_location='cpu', \
    weights_only=True).items()}, f + '/model.safetensors')\" FOLDER";

struct Shard {
    name: String,
    file: File,
}

struct Place {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Where its bytes begin in the file.
    start: u64,
}

/// The index of a checkpoint in shards. What else it says (sizes) is not needed.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// A checkpoint whose headers were read.
pub(crate) struct Checkpoint {
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Place>,
    /// Bytes of headers.
    headers: u64,
}

impl Checkpoint {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    ///
    /// # Errors
    /// [`Error::File`] for a folder without either (it gives the line that converts `pytorch_model.bin`), for shards outside
    /// of the folder, and for headers that do not describe their file.
    pub fn open(folder: &Folder) -> Result<Self, Error> {
        let mut all = Checkpoint { shards: Vec::new(), tensors: BTreeMap::new(), headers: 0 };
        if let Some(path) = folder.find(SINGLE)? {
            all.add(SINGLE, &path)?;
            return Ok(all);
        }
        let Some(bytes) = folder.read(INDEX, MAX_INDEX)? else { return Err(none(folder)) };
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|e| Error::file(INDEX, format!("is not an index of shards: {e}")))?;
        let shards: BTreeSet<&String> = index.weight_map.values().collect();
        if shards.len() > MAX_SHARDS {
            let why = format!("lists {} shards; at most {MAX_SHARDS}", shards.len());
            return Err(Error::file(INDEX, why));
        }
        for shard in shards {
            let Some(path) = folder.find(shard)? else {
                let why = format!("lists {}, which is not in the folder", shown(shard));
                return Err(Error::file(INDEX, why));
            };
            all.add(shard, &path)?;
        }
        let elsewhere = |(tensor, shard): &(&String, &String)| {
            all.tensors.get(*tensor).is_none_or(|p| all.shards[p.shard].name != **shard)
        };
        let lost: Vec<&str> =
            index.weight_map.iter().filter(elsewhere).map(|(tensor, _)| &tensor[..]).collect();
        if !lost.is_empty() {
            let why = format!("places tensors in shards that lack them: {}", listed(lost));
            return Err(Error::file(INDEX, why));
        }
        Ok(all)
    }

    fn add(&mut self, name: &str, path: &Path) -> Result<(), Error> {
        let bad = |why: String| Error::file(shown(name), why);
        let mut file = File::open(path).map_err(Error::io(path))?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        let mut length = [0; 8];
        if size < 8 {
            return Err(bad(format!("has {size} bytes, which are no safetensors file")));
        }
        file.read_exact(&mut length).map_err(Error::io(path))?;
        let length = u64::from_le_bytes(length);
        let most = (MAX_HEADER - self.headers).min(size - 8);
        if length > most {
            return Err(bad(format!("says that its header has {length} bytes; at most {most}")));
        }
        self.headers += length;
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(Error::io(path))?;
        // This checks that the tensors' bytes follow one another and have their shapes' sizes.
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|e| bad(format!("has no safetensors header: {}", shown(&e.to_string()))))?;
        let data = 8 + length;
        if header.data_len() as u64 != size - data {
            let needed = header.data_len();
            let why = format!("has {} bytes of tensors; its header asks for {needed}", size - data);
            return Err(bad(why));
        }
        let shard = self.shards.len();
        for (tensor, info) in header.tensors() {
            let start = data + info.data_offsets.0 as u64;
            let place = Place { shard, dtype: info.dtype, shape: info.shape.clone(), start };
            if let Some(other) = self.tensors.insert(tensor.clone(), place) {
                let other = &self.shards[other.shard].name;
                return Err(bad(format!("and {other} both hold {}", shown(&tensor))));
            }
        }
        self.shards.push(Shard { name: name.to_owned(), file });
        Ok(())
    }

    /// Whether there is such a tensor. Files of old converters call a norm's weight gamma and its bias beta.
    pub fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// A tensor's size along an axis, as the file says: any number at all. `None` where there is no such tensor or axis.
    pub fn size(&self, name: &str, axis: usize) -> Option<usize> {
        self.place(name).and_then(|(_, place)| place.shape.get(axis).copied())
    }

    /// Every name, as in the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The name that the file itself uses, if the tensor is there.
    pub fn own_name(&self, name: &str) -> Option<&str> {
        self.place(name).map(|(own, _)| own)
    }

    /// Numbers in a tensor of the file.
    pub fn count(&self, own_name: &str) -> usize {
        self.tensors[own_name].shape.iter().product()
    }

    /// Files that hold the tensors.
    pub fn files(&self) -> Vec<String> {
        self.shards.iter().map(|s| s.name.clone()).collect()
    }

    fn place(&self, name: &str) -> Option<(&str, &Place)> {
        let get = |name: &str| self.tensors.get_key_value(name).map(|(own, p)| (&own[..], p));
        get(name).or_else(|| {
            let (norm, part) = name.rsplit_once('.')?;
            let old = match part {
                "weight" => "gamma",
                "bias" => "beta",
                _ => return None,
            };
            norm.ends_with("LayerNorm").then(|| get(&format!("{norm}.{old}"))).flatten()
        })
    }

    /// An error about one tensor.
    pub fn refuse(&self, name: &str, why: String) -> Error {
        let (own, file) = match self.place(name) {
            Some((own, place)) => (own, &self.shards[place.shard].name[..]),
            None => (name, self.shards.first().map_or(SINGLE, |s| &s.name[..])),
        };
        Error::Tensor { file: shown(file), tensor: shown(own), why }
    }

    /// Compares a tensor's shape and type with what is needed, before anything of it is read.
    ///
    /// # Errors
    /// [`Error::Tensor`].
    ///
    /// # Panics
    /// Where there is no such tensor.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<(), Error> {
        let (_, place) = self.place(name).expect("names are compared before shapes");
        if place.shape != shape {
            let why = format!("has shape {:?}; config.json asks for {shape:?}", place.shape);
            return Err(self.refuse(name, why));
        }
        if !matches!(place.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            let why = format!("is of type {:?}; accepted: F32, F16, BF16", place.dtype);
            return Err(self.refuse(name, why));
        }
        Ok(())
    }

    /// Reads a tensor that [`Checkpoint::check`] accepted.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a value that is not finite, [`Error::Io`].
    pub fn read(&self, name: &str) -> Result<Vec<f32>, Error> {
        let (_, place) = self.place(name).expect("names are compared before values are read");
        let Shard { name: file_name, file } = &self.shards[place.shard];
        let io = |source| Error::Io { path: file_name.into(), source };
        let mut file = file;
        file.seek(SeekFrom::Start(place.start)).map_err(io)?;
        let bytes = place.dtype.bitsize() / 8;
        let mut left = place.shape.iter().product::<usize>() * bytes;
        let mut values = Vec::with_capacity(left / bytes);
        let mut buffer = vec![0; CHUNK.min(left)];
        while left > 0 {
            let chunk = &mut buffer[..CHUNK.min(left)];
            file.read_exact(chunk).map_err(io)?;
            left -= chunk.len();
            decode(place.dtype, chunk, &mut values);
        }
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            let why = format!("holds a value that is not finite, at element {at}");
            return Err(self.refuse(name, why));
        }
        Ok(values)
    }
}

fn decode(dtype: Dtype, bytes: &[u8], values: &mut Vec<f32>) {
    let pairs = || bytes.as_chunks::<2>().0.iter().copied();
    match dtype {
        Dtype::F32 => {
            values.extend(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)))
        }
        Dtype::F16 => values.extend(pairs().map(|b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => values.extend(pairs().map(|b| bf16::from_le_bytes(b).to_f32())),
        other => unreachable!("a tensor of type {other:?} was refused"),
    }
}

/// The error for a folder without safetensors.
fn none(folder: &Folder) -> Error {
    let old = "pytorch_model.bin";
    match folder.find(old) {
        Ok(Some(_)) => Error::file(
            old,
            format!(
                "is a pickle, which runs the code it holds when it is read; accepted: {SINGLE}. If you trust the file: {CONVERT}"
            ),
        ),
        _ => Error::file(SINGLE, format!("is not in the folder, nor is {INDEX}")),
    }
}
