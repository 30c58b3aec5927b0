//! Inputs: CIFAR's binary records, bare, in their archive or in its folder, Tiny-ImageNet's folder, and PNG or JPEG
//! files.

mod decode;
mod folder;

pub use decode::decode;
pub use folder::TinyImageNet;

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use image::DynamicImage;

use crate::{Arch, Error};
use decode::{fitted, planes};

/// Side of a CIFAR picture.
const CIFAR_SIDE: usize = 32;
/// Bytes of a CIFAR picture: the red, green and blue planes.
const CIFAR_PIXELS: usize = 3 * CIFAR_SIDE * CIFAR_SIDE;
/// Largest PNG or JPEG file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;
/// Most bytes that are unpacked from one archive.
const MAX_UNPACKED: u64 = 1 << 30;

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
}

/// A record of one of CIFAR's sets: bytes of label, the last of them the class, then the planes.
struct Records {
    set: &'static str,
    labels: usize,
    classes: u8,
}

const TEN: Records = Records { set: "CIFAR-10", labels: 1, classes: 10 };
const HUNDRED: Records = Records { set: "CIFAR-100", labels: 2, classes: 100 };

impl Records {
    /// What a bare file of records holds for a model: CIFAR-100's where the model has 100 classes.
    fn of(arch: &Arch) -> &'static Self {
        if arch.classes == usize::from(HUNDRED.classes) { &HUNDRED } else { &TEN }
    }
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
    /// What a member holds, where it is of this split.
    fn records(self, member: &str) -> Option<&'static Records> {
        match (self, member) {
            (Split::Test, "test_batch.bin") => Some(&TEN),
            (Split::Test, "test.bin") | (Split::Train, "train.bin") => Some(&HUNDRED),
            (Split::Train, _) if member.starts_with("data_batch_") && member.ends_with(".bin") => {
                Some(&TEN)
            }
            _ => None,
        }
    }
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
pub fn load(path: &Path, arch: &Arch, fit: Fit, limit: usize) -> Result<Vec<Picture>, Error> {
    if path.is_dir() {
        return folder::test_pictures(path, arch, fit, limit);
    }
    let name = file_name(path);
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic).map_err(Error::io(path))?;
    let whole = Cursor::new(magic.clone()).chain(file);
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("bin")) {
        read_records(BufReader::new(whole), Records::of(arch), &name, (arch, fit), limit)
    } else if magic == [0x1f, 0x8b] {
        read_cifar_archive(whole, &name, Split::Test, arch, fit, limit)
    } else if limit == 0 {
        Ok(Vec::new())
    } else {
        let mut bytes = Vec::new();
        whole.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
        Ok(vec![decode(&bytes, &name, arch, fit)?])
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
    arch: &Arch,
    fit: Fit,
    limit: usize,
) -> Result<Vec<Picture>, Error> {
    read_records(from, &TEN, file, (arch, fit), limit)
}

fn read_records(
    mut from: impl Read,
    of: &Records,
    file: &str,
    (arch, fit): (&Arch, Fit),
    limit: usize,
) -> Result<Vec<Picture>, Error> {
    let (set, length) = (of.set, of.labels + CIFAR_PIXELS);
    let mut pictures = Vec::new();
    while pictures.len() < limit {
        let offset = (pictures.len() * length) as u64;
        let mut record = Vec::with_capacity(length);
        let read = from.by_ref().take(length as u64).read_to_end(&mut record);
        read.map_err(|e| Error::picture(file, format!("after offset {offset}: {e}")))?;
        if record.is_empty() && !pictures.is_empty() {
            break;
        }
        if record.len() < length {
            let (got, end) = (record.len(), offset + record.len() as u64);
            let why = format!(
                "ends at offset {end}, inside the {set} record that starts at offset {offset} \
                 ({got} of {length} bytes)"
            );
            return Err(Error::picture(file, why));
        }
        let label = record[of.labels - 1];
        if label >= of.classes {
            let at = offset + of.labels as u64 - 1;
            let most = of.classes - 1;
            let why = format!("label {label} at offset {at}; {set} has labels 0 to {most}");
            return Err(Error::picture(file, why));
        }
        let name = format!("{file}#{}", pictures.len());
        let pixels = if arch.image == CIFAR_SIDE {
            record.split_off(of.labels)
        } else {
            planes(fitted(interleaved(&record[of.labels..]), &name, arch, fit)?)
        };
        pictures.push(Picture { pixels, label: Some(label), name });
    }
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
    arch: &Arch,
    fit: Fit,
    limit: usize,
) -> Result<Vec<Picture>, Error> {
    let damaged = |e: std::io::Error| Error::picture(file, format!("not a whole .tar.gz: {e}"));
    let mut archive = tar::Archive::new(GzDecoder::new(from).take(MAX_UNPACKED));
    let mut pictures = Vec::new();
    let mut found = false;
    // Raw entries: extended headers, which can be of any length, are then skipped, not read.
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        if found && pictures.len() >= limit {
            break;
        }
        let entry = entry.map_err(damaged)?;
        let path = entry.path_bytes();
        let member = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let member = String::from_utf8_lossy(member).into_owned();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if let Some(records) = split.records(&member) {
            found = true;
            let (name, left) = (format!("{file}/{member}"), limit - pictures.len());
            pictures.extend(read_records(entry, records, &name, (arch, fit), left)?);
        }
    }
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

/// The model's input: pixels / 255, less the mean of their plane, over its standard deviation.
///
/// # Panics
/// Where the picture does not have the model's size.
pub fn normalise(arch: &Arch, picture: &Picture) -> Vec<f32> {
    let plane = arch.image * arch.image;
    assert_eq!(picture.pixels.len(), 3 * plane, "normalise: a picture of another model's size");
    let mut out = Vec::with_capacity(picture.pixels.len());
    for (c, pixels) in picture.pixels.chunks_exact(plane).enumerate() {
        let (mean, std) = (arch.mean[c], arch.std[c]);
        out.extend(pixels.iter().map(|&p| (p as f32 / 255.0 - mean) / std));
    }
    out
}

/// A picture cut into patches, row by row: one row of channels * patch^2 numbers for each patch,
/// in the order of the embedding's weights (planes, rows, columns).
///
/// # Panics
/// Where the picture does not have the model's size.
pub fn patches(arch: &Arch, image: &[f32]) -> Vec<f32> {
    let (side, p) = (arch.image, arch.patch);
    let (got, expected) = (image.len(), arch.channels * side * side);
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
    let plane = CIFAR_SIDE * CIFAR_SIDE;
    let side = CIFAR_SIDE as u32;
    DynamicImage::ImageRgb8(image::RgbImage::from_fn(side, side, |x, y| {
        let at = y as usize * CIFAR_SIDE + x as usize;
        image::Rgb([planes[at], planes[plane + at], planes[2 * plane + at]])
    }))
}

#[cfg(test)]
mod tests;
