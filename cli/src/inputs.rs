//! The pictures that a command is given: files, and folders of files.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sotto_models::{
    Arch, Model,
    images::{Fit, Picture, TinyImageNet, cifar, load},
};

use crate::error::Error;

/// Files in a folder of pictures that are taken.
const SUFFIXES: [&str; 3] = ["png", "jpg", "jpeg"];

/// And pictures that are not read: they are told, not passed over.
const OTHERS: [&str; 8] = ["webp", "gif", "bmp", "tif", "tiff", "heic", "avif", "jxl"];

/// A picture or text that cannot be evaluated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unread {
    /// The file, or the text's number and beginning.
    pub name: String,
    /// Why not.
    pub error: String,
}

/// Files that were found, each with what is wrong with it.
pub struct Inputs {
    files: Vec<(PathBuf, Option<String>)>,
    fit: Fit,
    limit: usize,
}

impl Inputs {
    /// Finds the files of `paths`: PNG or JPEG, CIFAR's `.bin` or `.tar.gz`, folders of PNG and JPEG files, and CIFAR's
    /// or Tiny-ImageNet's own folder; at most `limit` pictures in all. Pictures are decoded to see that they can be; that
    /// they have the model's size is seen when the model is known.
    ///
    /// # Errors
    /// [`Error::Config`] for a limit of 0. What is wrong with a file is kept for its turn.
    pub fn find(paths: &[PathBuf], fit: Fit, limit: usize) -> Result<Self, Error> {
        if limit == 0 {
            return Err(Error::Config("a limit of 0 leaves no picture".into()));
        }
        let mut files = Vec::new();
        for path in paths {
            match pictures_in(path) {
                Ok(Some(found)) => files.extend(found.into_iter().map(|file| (file, None))),
                Ok(None) => files.push((path.clone(), None)),
                Err(e) => files.push((path.clone(), Some(e))),
            }
        }
        // Each file has a picture at least.
        files.truncate(limit);
        for (file, wrong) in &mut files {
            *wrong = wrong.take().or_else(|| wrong_with(file));
        }
        Ok(Self { files, fit, limit })
    }

    /// Those with which something is wrong, whatever the model; `None` where some are fine.
    pub fn all_wrong(&self) -> Option<Vec<Unread>> {
        self.files.iter().map(|(path, wrong)| Some(unread(path, wrong.clone()?))).collect()
    }

    /// With another way to bring pictures to a model's size.
    pub fn fitted(self, fit: Fit) -> Self {
        Self { fit, ..self }
    }

    /// Reads the pictures for a model.
    pub fn load(&self, model: &Model) -> (Vec<Picture>, Vec<Unread>) {
        let (mut pictures, mut bad) = (Vec::new(), Vec::new());
        for (path, wrong) in &self.files {
            let loaded = match wrong {
                Some(wrong) => Err(wrong.clone()),
                None => {
                    let left = self.limit - pictures.len();
                    load(path, model, self.fit, left).map_err(|e| e.to_string())
                }
            };
            match loaded {
                Ok(found) => pictures.extend(found),
                Err(error) => bad.push(unread(path, error)),
            }
        }
        (pictures, bad)
    }

    /// Reads the pictures for a model.
    ///
    /// # Errors
    /// [`Error::Inputs`] when something is wrong with one of them.
    pub fn load_all(&self, model: impl Into<Model>) -> Result<Vec<Picture>, Error> {
        let (pictures, bad) = self.load(&model.into());
        if bad.is_empty() {
            return Ok(pictures);
        }
        let of = pictures.len() + bad.len();
        Err(Error::Inputs {
            what: "images",
            failed: bad.into_iter().map(|b| b.error).collect(),
            of,
        })
    }
}

fn unread(path: &Path, error: String) -> Unread {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Unread { name, error }
}

/// The pictures in a folder that is no data set's, by name; `None` for anything else.
fn pictures_in(path: &Path) -> Result<Option<Vec<PathBuf>>, String> {
    let holds = |set: &&cifar::Cifar| {
        [path.join(set.folder).join(set.test), path.join(set.test)].iter().any(|f| f.is_file())
    };
    if !path.is_dir() || cifar::SETS.iter().any(holds) || TinyImageNet::find(path).is_some() {
        return Ok(None);
    }
    let is_picture = |file: &PathBuf| {
        let suffix = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
        SUFFIXES.iter().chain(&OTHERS).any(|s| suffix.eq_ignore_ascii_case(s)) && file.is_file()
    };
    let entries = path.read_dir().map_err(|e| format!("{}: {e}", path.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = files.filter(is_picture).collect();
    files.sort();
    match files.is_empty() {
        false => Ok(Some(files)),
        true => Err(format!(
            "{}: this folder holds no .png, .jpg or .jpeg, no `test_batch.bin` (CIFAR-10), no `test.bin` (CIFAR-100) \
             and no `wnids.txt` (Tiny-ImageNet)",
            path.display()
        )),
    }
}

/// What is wrong with a file, whatever the model. Records of a data set are read when the model is known.
fn wrong_with(path: &Path) -> Option<String> {
    if path.is_dir() {
        return None;
    }
    let mut magic = Vec::new();
    let read = File::open(path).and_then(|file| file.take(2).read_to_end(&mut magic));
    if let Err(e) = read {
        return Some(format!("{}: {e}", path.display()));
    }
    let records = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("bin"));
    if records || magic == [0x1f, 0x8b] {
        return None;
    }
    load(path, &Arch::vit_cifar(), Fit::Resize, 1).err().map(|e| e.to_string())
}
