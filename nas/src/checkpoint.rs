//! Checkpoints that a run resumes from after a kill, and the model that it hands out.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sotto_models::{Arch, Weights, weights};

use crate::Error;
use crate::recipe::Recipe;
use crate::weights::{Spec, specs};

/// Where a run stands, besides its tensors. Order and views follow from the seed and the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: usize,
    /// Seconds of wall clock used.
    pub seconds: f64,
    /// The settings.
    pub recipe: Recipe,
    /// The architecture.
    pub arch: Arch,
    /// What the run keeps beside its tensors: a search's own state.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub extra: serde_json::Value,
}

/// The tensors of a run, by what they are ("weights", "first", "second", "average").
pub type Tensors = BTreeMap<String, Vec<Vec<f32>>>;

/// Writes a checkpoint; the old one is replaced in one go.
///
/// # Errors
/// [`Error::File`] when the disk refuses.
pub fn save(path: &Path, state: &State, tensors: &Tensors) -> Result<(), Error> {
    let specs = specs(&state.arch);
    let mut parts: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (kind, values) in tensors {
        for (spec, v) in specs.iter().zip(values) {
            let bytes = v.iter().flat_map(|x| x.to_le_bytes()).collect();
            parts.push((format!("{kind}/{}", spec.name), spec.shape.clone(), bytes));
        }
    }
    let text = serde_json::to_string(state).expect("numbers and strings always serialise");
    let metadata = [("state".to_owned(), text)].into();
    write(path, &serialise(&parts, Dtype::F32, Some(metadata)))
}

/// Reads a checkpoint of `arch` made with `recipe`.
///
/// # Errors
/// [`Error::File`] when there is none; [`Error::Checkpoint`] when it is damaged or belongs to
/// another architecture or recipe.
pub fn load(path: &Path, arch: &Arch, recipe: &Recipe) -> Result<(State, Tensors), Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
    let broken = |why: String| Error::Checkpoint(format!("{}: {why}", path.display()));
    let (_, head) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(e.to_string()))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| broken(e.to_string()))?;
    let text = head.metadata().as_ref().and_then(|m| m.get("state"));
    let text = text.ok_or_else(|| broken("holds no state".into()))?;
    let mut state: State = serde_json::from_str(text).map_err(|e| broken(e.to_string()))?;
    if state.arch != *arch {
        return Err(broken(format!(
            "is of architecture {} ({} parameters), this run's is {} ({}): choose another --out",
            state.arch.name,
            state.arch.parameters(),
            arch.name,
            arch.parameters()
        )));
    }
    // The micro-batch decides only the order of additions, and pictures may be changed more or less
    // on purpose half-way through; all else belongs to the run.
    if (Recipe { micro: recipe.micro, strength: recipe.strength, ..state.recipe.clone() })
        != *recipe
    {
        let told = differences(&state.recipe, recipe);
        return Err(broken(format!("is another run's: {told}; take its options or another --out")));
    }
    state.recipe = recipe.clone();
    let specs = specs(arch);
    let mut tensors = Tensors::new();
    for kind in ["weights", "first", "second", "average"] {
        let one = |spec: &Spec| -> Result<Vec<f32>, Error> {
            let name = format!("{kind}/{}", spec.name);
            let view = file.tensor(&name).map_err(|e| broken(e.to_string()))?;
            if view.dtype() != Dtype::F32 || view.shape() != spec.shape {
                return Err(broken(format!(
                    "{name} has shape {:?}, not {:?}",
                    view.shape(),
                    spec.shape
                )));
            }
            let words = view.data().chunks_exact(4);
            Ok(words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        tensors.insert(kind.into(), specs.iter().map(one).collect::<Result<_, _>>()?);
    }
    Ok((state, tensors))
}

/// What two settings differ in, by the names that files have for it.
pub(crate) fn differences(then: &impl Serialize, now: &impl Serialize) -> String {
    let value = |v: Result<Value, _>| v.expect("plain data always serialises");
    let mut told = Vec::new();
    differ("", &value(serde_json::to_value(then)), &value(serde_json::to_value(now)), &mut told);
    told.join(", ")
}

fn differ(name: &str, then: &Value, now: &Value, told: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, value) in now {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                differ(&name, then.get(key).unwrap_or(&Value::Null), value, told);
            }
        }
        (then, now) if then != now => told.push(format!("{name} was {then}, now {now}")),
        _ => {}
    }
}

/// Writes `arch.toml` and `weights.safetensors` (f16), which every other command reads.
///
/// # Errors
/// [`Error::File`] when the disk refuses, [`Error::Checkpoint`] when a weight does not fit f16.
pub fn export(folder: &Path, arch: &Arch, values: &[Vec<f32>]) -> Result<(), Error> {
    let bytes = encode(arch, values);
    let weights =
        Weights::from_bytes(arch, &bytes).map_err(|e| Error::Checkpoint(e.to_string()))?;
    let half =
        weights.to_bytes(weights::Precision::F16).map_err(|e| Error::Checkpoint(e.to_string()))?;
    write(&folder.join("arch.toml"), arch.to_toml().as_bytes())?;
    write(&folder.join("weights.safetensors"), &half)
}

/// A float32 weights file of `values`, which are in the order of [`specs`].
pub fn encode(arch: &Arch, values: &[Vec<f32>]) -> Vec<u8> {
    let part = |(spec, v): (Spec, &Vec<f32>)| {
        (spec.name, spec.shape, v.iter().flat_map(|x| x.to_le_bytes()).collect())
    };
    let parts: Vec<_> = specs(arch).into_iter().zip(values).map(part).collect();
    serialise(&parts, Dtype::F32, None)
}

/// Reads `arch.toml` and `weights.safetensors` from a folder, as [`export`] wrote them.
///
/// # Errors
/// [`Error::File`] when one is missing, [`Error::Arch`] or [`Error::Checkpoint`] when they do not
/// go together.
pub fn import(folder: &Path) -> Result<(Arch, Vec<Vec<f32>>), Error> {
    let path = folder.join("arch.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::file(&path, e))?;
    let arch = Arch::from_toml(&text).map_err(|e| Error::Arch(e.to_string()))?;
    let path = folder.join("weights.safetensors");
    let bytes = std::fs::read(&path).map_err(|e| Error::file(&path, e))?;
    let weights =
        Weights::from_bytes(&arch, &bytes).map_err(|e| Error::Checkpoint(e.to_string()))?;
    let values = specs(&arch).iter().map(|spec| weights.values(&spec.name).to_vec()).collect();
    Ok((arch, values))
}

/// The weights of the model in `folder` for an `arch` that differs in its kinds alone.
///
/// # Errors
/// As [`import`]; [`Error::Arch`] when the two have other sizes.
pub fn inherit(folder: &Path, arch: &Arch) -> Result<Vec<Vec<f32>>, Error> {
    let (own, values) = import(folder)?;
    if specs(&own) != specs(arch) {
        let why =
            format!("{} has other sizes than {}, its weights do not fit", own.name, arch.name);
        return Err(Error::Arch(why));
    }
    Ok(values)
}

fn serialise(
    parts: &[(String, Vec<usize>, Vec<u8>)],
    dtype: Dtype,
    metadata: Option<std::collections::HashMap<String, String>>,
) -> Vec<u8> {
    let views = parts.iter().map(|(name, shape, bytes)| {
        let view =
            TensorView::new(dtype, shape.clone(), bytes).expect("a tensor has its shape's numbers");
        (name, view)
    });
    safetensors::serialize(views, metadata).expect("names are distinct and sizes fit")
}

/// Replaces a file in one go, so that a kill leaves the old or the new one. What lies where the new one is written first (what
/// a kill left, a link, a pipe) is taken away, not followed.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let part = path.with_extension("part");
    let make = || {
        match std::fs::remove_file(&part) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        std::fs::File::create_new(&part)?.write_all(bytes)
    };
    make().map_err(|e| Error::file(&part, e))?;
    std::fs::rename(&part, path).map_err(|e| Error::file(path, e))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_way_is_not_followed() {
        let folder = std::env::temp_dir().join(format!("sotto-nas-part-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let [path, part, other] = ["a.toml", "a.part", "other"].map(|name| folder.join(name));
        std::fs::write(&other, "kept").unwrap();
        std::os::unix::fs::symlink(&other, &part).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert!(!path.is_symlink() && !part.is_symlink());
        std::fs::write(&part, "what a kill left").unwrap();
        write(&path, b"newer").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "newer");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
