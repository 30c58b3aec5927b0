//! Inputs: CIFAR's binary records, bare, in their archive or in its folder, Tiny-ImageNet's folder, and PNG or JPEG
//! files.

pub mod cifar;
mod decode;
mod folder;
mod framing;

pub use decode::decode;
pub use folder::TinyImageNet;
pub use framing::{FILE as FRAMING, Filter, Framing, Scale};

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::ops::ControlFlow;
use std::path::Path;

use image::DynamicImage;

use crate::{Error, Model, model::Pixels};
use cifar::{Cifar, HUNDRED, TEN};
use decode::{fitted, planes, side};

/// Largest PNG or JPEG file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// One picture of a model's size, before normalisation.
///
/// Security: the pixels are the client's secret; there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Planes, rows, columns: 3 * image * image bytes.
    pub pixels: Vec<u8>,
    /// The class, where the file tells it.
    pub label: Option<u8>,
    /// The file, with the record's number where it holds several.
    pub name: String,
}

/// What to do with a picture that does not have the model's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Refuse it.
    Exact,
    /// Cut out the largest centred square and scale it with a triangle filter, which averages when
    /// it shrinks.
    Resize,
    /// Scale and cut every picture as the model's preprocessor does.
    Framed(Framing),
}

/// Which members of CIFAR's archives to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// `data_batch_*.bin` or CIFAR-100's `train.bin`, 50,000 pictures.
    Train,
    /// `test_batch.bin` or CIFAR-100's `test.bin`, 10,000 pictures.
    Test,
}

impl Split {
    /// Whether a file of a set is of this split.
    fn holds(self, set: &Cifar, name: &str) -> bool {
        match self {
            Split::Train => set.train.contains(&name),
            Split::Test => set.test == name,
        }
    }
}

/// The set whose records a bare file holds for a model: CIFAR-100's where the model has 100 classes.
fn set_of(model: &Model) -> &'static Cifar {
    if model.output.classes() == usize::from(HUNDRED.classes) { &HUNDRED } else { &TEN }
}

/// Reads at most `limit` pictures from a file: `.bin` as CIFAR-10 records (CIFAR-100's for a model of 100 classes), a
/// gzip archive as CIFAR's (its test split), anything else as PNG or JPEG by its first bytes; or from a folder, the
/// test split of the CIFAR archive that was unpacked there, or Tiny-ImageNet's validation split.
///
/// Cost: memory for `limit` pictures of the model's size, whatever the file claims to hold.
///
/// # Errors
/// [`Error::Picture`] names the file, the offset where there is one, and what was expected;
/// [`Error::Io`] where the file cannot be read.
pub fn load(
    path: &Path,
    model: impl Into<Model>,
    fit: Fit,
    limit: usize,
) -> Result<Vec<Picture>, Error> {
    let model = &model.into();
    if path.is_dir() {
        return folder::test_pictures(path, model, fit, limit);
    }
    let name = file_name(path);
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic).map_err(Error::io(path))?;
    let whole = Cursor::new(magic.clone()).chain(file);
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("bin")) {
        read_records(BufReader::new(whole), set_of(model), &name, (model, fit), limit)
    } else if magic == [0x1f, 0x8b] {
        read_cifar_archive(whole, &name, Split::Test, model, fit, limit)
    } else if limit == 0 {
        Ok(Vec::new())
    } else {
        let mut bytes = Vec::new();
        whole.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
        Ok(vec![decode(&bytes, &name, model, fit)?])
    }
}

/// Reads at most `limit` records in CIFAR-10's binary format.
///
/// # Errors
/// [`Error::Picture`] with the offset, for a record that is cut short, for a label over 9 and for a
/// file without a record.
pub fn read_cifar(
    from: impl Read,
    file: &str,
    model: impl Into<Model>,
    fit: Fit,
    limit: usize,
) -> Result<Vec<Picture>, Error> {
    read_records(from, &TEN, file, (&model.into(), fit), limit)
}

fn read_records(
    from: impl Read,
    set: &Cifar,
    file: &str,
    (model, fit): (&Model, Fit),
    limit: usize,
) -> Result<Vec<Picture>, Error> {
    let (mut pictures, side) = (Vec::new(), side(model, file)?);
    set.records(from, file, limit, |label, record| {
        let name = format!("{file}#{}", pictures.len());
        let pixels = if side == cifar::SIDE && !matches!(fit, Fit::Framed(_)) {
            record.to_vec()
        } else {
            planes(fitted(interleaved(record), &name, model, fit)?)
        };
        pictures.push(Picture { pixels, label: Some(label), name });
        Ok(())
    })?;
    Ok(pictures)
}

/// Reads at most `limit` pictures of one split from CIFAR-10's or CIFAR-100's `.tar.gz`, in its order, unpacking
/// it on the way.
///
/// # Errors
/// As [`read_cifar`]; also for an archive that is damaged, cut short, or without such a member.
pub fn read_cifar_archive(
    from: impl Read,
    file: &str,
    split: Split,
    model: impl Into<Model>,
    fit: Fit,
    limit: usize,
) -> Result<Vec<Picture>, Error> {
    let model = &model.into();
    let mut pictures = Vec::new();
    let mut found = false;
    cifar::members(from, file, |set, member, entry| {
        if split.holds(set, member) {
            found = true;
            let (name, left) = (format!("{file}/{member}"), limit - pictures.len());
            pictures.extend(read_records(entry, set, &name, (model, fit), left)?);
        }
        let enough = found && pictures.len() >= limit;
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if !found {
        let wanted = match split {
            Split::Train => "`data_batch_*.bin` or `train.bin`",
            Split::Test => "`test_batch.bin` or `test.bin`",
        };
        let why = format!("has no {wanted}; expected CIFAR-10's or CIFAR-100's binary archive");
        return Err(Error::picture(file, why));
    }
    Ok(pictures)
}

/// The model's input: pixels / 255, less the mean of their plane, over its standard deviation. `model` is its [`Pixels`],
/// or an [`Arch`](crate::Arch).
///
/// # Panics
/// Where the picture does not have the model's size.
pub fn normalise(model: impl Into<Pixels>, picture: &Picture) -> Vec<f32> {
    let pixels: Pixels = model.into();
    let plane = pixels.image * pixels.image;
    assert_eq!(picture.pixels.len(), 3 * plane, "normalise: a picture of another model's size");
    let mut out = Vec::with_capacity(picture.pixels.len());
    for (c, values) in picture.pixels.chunks_exact(plane).enumerate() {
        let (mean, std) = (pixels.mean[c], pixels.std[c]);
        out.extend(values.iter().map(|&p| (p as f32 / 255.0 - mean) / std));
    }
    out
}

/// A picture cut into patches, row by row: one row of channels * patch^2 numbers for each patch,
/// in the order of the embedding's weights (planes, rows, columns).
///
/// # Panics
/// Where the picture does not have the model's size.
pub fn patches(pixels: &Pixels, image: &[f32]) -> Vec<f32> {
    let (side, p) = (pixels.image, pixels.patch);
    let (got, expected) = (image.len(), pixels.numbers());
    assert_eq!(got, expected, "patches: a picture of {got} numbers for a model of {expected}");
    let mut out = Vec::with_capacity(got);
    for top in (0..side).step_by(p) {
        for left in (0..side).step_by(p) {
            for plane in image.chunks_exact(side * side) {
                for row in top..top + p {
                    out.extend_from_slice(&plane[row * side + left..][..p]);
                }
            }
        }
    }
    out
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A CIFAR record's planes as a picture.
fn interleaved(planes: &[u8]) -> DynamicImage {
    let plane = cifar::SIDE * cifar::SIDE;
    let side = cifar::SIDE as u32;
    DynamicImage::ImageRgb8(image::RgbImage::from_fn(side, side, |x, y| {
        let at = y as usize * cifar::SIDE + x as usize;
        image::Rgb([planes[at], planes[plane + at], planes[2 * plane + at]])
    }))
}

#[cfg(test)]
mod tests;
