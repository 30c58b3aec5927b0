//! Inputs: CIFAR's binary records, bare, in their archive or in its folder, Tiny-ImageNet's folder, and PNG or JPEG
//! files.

mod folder;

pub use folder::TinyImageNet;

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use crate::{Arch, Error};

/// Side of a CIFAR picture.
const CIFAR_SIDE: usize = 32;
/// Bytes of a CIFAR picture: the red, green and blue planes.
const CIFAR_PIXELS: usize = 3 * CIFAR_SIDE * CIFAR_SIDE;
/// Largest PNG or JPEG file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;
/// Largest side of a PNG or JPEG picture.
const MAX_SIDE: u32 = 8192;
/// Most memory that decoding one picture may take.
const MAX_DECODED: u64 = 384 << 20;
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

/// Decodes one PNG or JPEG; transparency is dropped, a camera's orientation is applied.
///
/// # Errors
/// [`Error::Picture`] for other formats, damaged files, more than 64 MiB or 8192 pixels a side, and
/// a size other than the model's under [`Fit::Exact`].
pub fn decode(bytes: &[u8], file: &str, arch: &Arch, fit: Fit) -> Result<Picture, Error> {
    if bytes.len() as u64 > MAX_FILE {
        let why = format!("is larger than {} MiB", MAX_FILE >> 20);
        return Err(Error::picture(file, why));
    }
    let bad = |e: image::ImageError| Error::picture(file, e.to_string());
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .expect("a slice in memory is read without errors");
    if reader.format().is_none() {
        let why = "is neither PNG nor JPEG, nor CIFAR's .bin or .tar.gz";
        return Err(Error::picture(file, why));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(bad)?;
    if fit == Fit::Exact {
        // Before decoding: what will be refused need not be unpacked.
        exact(decoder.dimensions(), file, arch)?;
    }
    if decoder.total_bytes() > MAX_DECODED {
        let why = format!("takes more than {} MiB unpacked", MAX_DECODED >> 20);
        return Err(Error::picture(file, why));
    }
    let orientation = decoder.orientation().map_err(bad)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(bad)?;
    picture.apply_orientation(orientation);
    let pixels = planes(fitted(picture, file, arch, fit)?);
    Ok(Picture { pixels, label: None, name: file.to_string() })
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

fn exact((width, height): (u32, u32), file: &str, arch: &Arch) -> Result<(), Error> {
    let side = arch.image;
    if (width as usize, height as usize) == (side, side) {
        return Ok(());
    }
    let why = format!(
        "has {width} x {height} pixels; `{}` takes {side} x {side} (--resize crops and scales)",
        arch.name
    );
    Err(Error::picture(file, why))
}

fn fitted(picture: DynamicImage, file: &str, arch: &Arch, fit: Fit) -> Result<DynamicImage, Error> {
    let (width, height) = (picture.width(), picture.height());
    let side = u32::try_from(arch.image).expect("an architecture's image is at most 1024");
    if (width, height) == (side, side) {
        return Ok(picture);
    }
    if fit == Fit::Exact {
        exact((width, height), file, arch)?;
    }
    let square = width.min(height);
    let (left, top) = ((width - square) / 2, (height - square) / 2);
    let cut = picture.crop_imm(left, top, square, square);
    Ok(cut.resize_exact(side, side, FilterType::Triangle))
}

fn planes(picture: DynamicImage) -> Vec<u8> {
    let rgb = picture.into_rgb8();
    (0..3).flat_map(|c| rgb.pixels().map(move |pixel| pixel.0[c])).collect()
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
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use image::{ImageFormat, Rgb, RgbImage, RgbaImage};

    use super::*;

    const CIFAR_RECORD: usize = 1 + CIFAR_PIXELS;

    fn records(labels: &[u8]) -> Vec<u8> {
        let record = |(i, &label): (usize, &u8)| {
            let pixels = (0..CIFAR_RECORD - 1).map(move |k| (k / 1024 * 80 + k % 64 + i) as u8);
            std::iter::once(label).chain(pixels).collect::<Vec<u8>>()
        };
        labels.iter().enumerate().flat_map(record).collect()
    }

    fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, data) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &data[..]).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        picture.write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    fn coloured(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 77]))
    }

    fn small() -> Arch {
        Arch::vit(1, 1, 4, 4, 8, 4, 2)
    }

    fn refusal<T>(result: Result<T, Error>) -> String {
        result.err().expect("this input is bad").to_string()
    }

    #[test]
    fn cifar_records_are_read_in_order() {
        let bytes = records(&[3, 9, 0]);
        let arch = Arch::vit_cifar();
        let all = read_cifar(&bytes[..], "x.bin", &arch, Fit::Exact, usize::MAX).unwrap();
        let labels: Vec<_> = all.iter().map(|p| p.label).collect();
        assert_eq!(labels, [Some(3), Some(9), Some(0)]);
        assert_eq!(all[1].pixels, bytes[CIFAR_RECORD + 1..2 * CIFAR_RECORD]);
        assert_eq!(all[2].name, "x.bin#2");
        let two = read_cifar(&bytes[..], "x.bin", &arch, Fit::Exact, 2).unwrap();
        assert!(two == all[..2]);
    }

    #[test]
    fn bad_cifar_files_name_file_and_offset() {
        let arch = Arch::vit_cifar();
        let read = |bytes: &[u8]| refusal(read_cifar(bytes, "x.bin", &arch, Fit::Exact, 9));
        let said = read(&records(&[1, 2])[..5000]);
        assert!(said.contains("x.bin: ends at offset 5000"), "{said}");
        assert!(said.contains("starts at offset 3073 (1927 of 3073 bytes)"), "{said}");
        assert!(read(&records(&[1, 10])).contains("x.bin: label 10 at offset 3073"));
        assert!(read(&[]).contains("ends at offset 0"));
        let bytes = records(&[1]);
        let said = refusal(read_cifar(&bytes[..], "x.bin", &small(), Fit::Exact, 9));
        assert!(said.contains("x.bin#0: has 32 x 32 pixels; `vit_1_1_8` takes 8 x 8"), "{said}");
        let resized = read_cifar(&bytes[..], "x.bin", &small(), Fit::Resize, 9).unwrap();
        assert_eq!(resized[0].pixels.len(), 3 * 64);
    }

    #[test]
    fn archives_are_read_by_split() {
        let arch = Arch::vit_cifar();
        let long = format!("{}/data_batch_3.bin", "d".repeat(150));
        let bytes = archive(&[
            ("c/readme.html", b"<html>".to_vec()),
            ("c/data_batch_1.bin", records(&[1, 2])),
            ("c/test_batch.bin", records(&[7])),
            ("c/data_batch_2.bin", records(&[3])),
            (&long, records(&[4])),
        ]);
        let labels = |split, limit| -> Vec<u8> {
            let read = read_cifar_archive(&bytes[..], "c.tar.gz", split, &arch, Fit::Exact, limit);
            read.unwrap().iter().map(|p| p.label.unwrap()).collect()
        };
        assert_eq!(labels(Split::Test, 9), [7]);
        // A member whose name needs an extended header is not CIFAR-10's.
        assert_eq!(labels(Split::Train, 9), [1, 2, 3]);
        assert_eq!(labels(Split::Train, 2), [1, 2]);
        assert!(labels(Split::Train, 0).is_empty());
    }

    #[test]
    fn bad_archives_are_refused() {
        let arch = Arch::vit_cifar();
        let read = |bytes: &[u8]| {
            refusal(read_cifar_archive(bytes, "c.tar.gz", Split::Test, &arch, Fit::Exact, 9))
        };
        let other = archive(&[("c/other.bin", records(&[1]))]);
        assert!(read(&other).contains("c.tar.gz: has no `test_batch.bin` or `test.bin`"));
        let noise: Vec<u8> =
            (0..40_000u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
        let noise: Vec<u8> = noise.chunks(3072).flat_map(|c| [&[1][..], c].concat()).collect();
        let whole = archive(&[("c/test_batch.bin", noise[..4 * CIFAR_RECORD].to_vec())]);
        let said = read(&whole[..whole.len() / 2]);
        assert!(said.contains("c.tar.gz"), "{said}");
        let cut = archive(&[("c/test_batch.bin", records(&[1, 2])[..4000].to_vec())]);
        assert!(read(&cut).contains("c.tar.gz/test_batch.bin: ends at offset 4000"));
        assert!(read(b"\x1f\x8bnot gzip at all").contains("not a whole .tar.gz"));
    }

    #[test]
    fn pictures_are_decoded_into_planes() {
        let picture = coloured(8, 8);
        let png =
            decode(&encoded(&picture, ImageFormat::Png), "a.png", &small(), Fit::Exact).unwrap();
        assert_eq!((png.pixels[1], png.pixels[64 + 8], png.pixels[128]), (1, 1, 77));
        assert_eq!((png.label, png.name.as_str()), (None, "a.png"));
        let jpeg = encoded(&picture, ImageFormat::Jpeg);
        let jpeg = decode(&jpeg, "a.jpg", &small(), Fit::Exact).unwrap();
        let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 12;
        assert!(png.pixels.iter().zip(&jpeg.pixels).all(near));
        let mut clear = Cursor::new(Vec::new());
        let pixel = image::Rgba([9, 8, 7, 0]);
        RgbaImage::from_pixel(8, 8, pixel).write_to(&mut clear, ImageFormat::Png).unwrap();
        let clear = decode(clear.get_ref(), "a.png", &small(), Fit::Exact).unwrap();
        assert_eq!((clear.pixels[0], clear.pixels[191]), (9, 7));
    }

    #[test]
    fn sizes_are_exact_or_fitted() {
        let wide = encoded(&coloured(40, 16), ImageFormat::Png);
        let said = refusal(decode(&wide, "w.png", &small(), Fit::Exact));
        assert!(said.contains("w.png: has 40 x 16 pixels"), "{said}");
        assert!(said.contains("takes 8 x 8 (--resize crops and scales)"), "{said}");
        let fitted = decode(&wide, "w.png", &small(), Fit::Resize).unwrap();
        // The centred square is columns 12 to 27; halved, its inner columns keep the mean.
        assert_eq!(fitted.pixels.len(), 192);
        for x in 1..7 {
            let expected = 12.5 + 2.0 * x as f32;
            assert!((fitted.pixels[x] as f32 - expected).abs() <= 1.0, "{}", fitted.pixels[x]);
        }
        assert!(fitted.pixels[128..].iter().all(|&p| p == 77));
    }

    #[test]
    fn hostile_pictures_are_refused() {
        let mut png = encoded(&coloured(8, 8), ImageFormat::Png);
        // The width in the header, with the header's checksum made to fit.
        png[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&png[12..29]);
        png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        let said = refusal(decode(&png, "h.png", &small(), Fit::Resize));
        assert!(said.contains("h.png") && said.to_lowercase().contains("limit"), "{said}");
        let whole = encoded(&coloured(8, 8), ImageFormat::Png);
        assert!(refusal(decode(&whole[..60], "t.png", &small(), Fit::Exact)).contains("t.png"));
        assert!(refusal(decode(b"GIF89a", "g.gif", &small(), Fit::Exact)).contains("g.gif"));
        assert!(refusal(decode(b"", "e", &small(), Fit::Exact)).contains("neither PNG nor JPEG"));
    }

    #[test]
    fn load_tells_files_apart() {
        let folder = tempfile::tempdir().unwrap();
        let arch = Arch::vit_cifar();
        let read = |name: &str, bytes: &[u8], limit| {
            let path = folder.path().join(name);
            File::create(&path).unwrap().write_all(bytes).unwrap();
            load(&path, &arch, Fit::Exact, limit)
        };
        // A .bin may begin like a gzip file would: the extension decides.
        let bin = read("x.BIN", &records(&[1, 2, 3]), 2).unwrap();
        assert_eq!((bin.len(), bin[1].name.as_str()), (2, "x.BIN#1"));
        let tar = archive(&[("cifar-10-batches-bin/test_batch.bin", records(&[5]))]);
        let tar = read("c.tar.gz", &tar, 9).unwrap();
        assert_eq!((tar.len(), tar[0].name.as_str()), (1, "c.tar.gz/test_batch.bin#0"));
        let png = encoded(&coloured(32, 32), ImageFormat::Png);
        assert_eq!(read("p.dat", &png, 1).unwrap()[0].pixels[..3], [0, 1, 2]);
        assert!(read("p.png", &png, 0).unwrap().is_empty());
        assert!(refusal(read("empty.png", b"", 1)).contains("empty.png"));
        let missing = load(&folder.path().join("none.png"), &arch, Fit::Exact, 1);
        assert!(matches!(missing, Err(Error::Io { .. })));
    }

    #[test]
    fn normalising_by_hand() {
        let mut arch = small();
        arch.mean = [0.0, 0.5, 1.0];
        arch.std = [1.0, 0.5, 0.25];
        let pixels = [[51u8; 64], [255; 64], [0; 64]].concat();
        let picture = Picture { pixels, label: None, name: "x".into() };
        let out = normalise(&arch, &picture);
        for (c, expected) in [0.2f32, 1.0, -4.0].into_iter().enumerate() {
            assert!(out[64 * c..][..64].iter().all(|x| (x - expected).abs() < 1e-6));
        }
    }

    #[test]
    fn patches_by_hand() {
        let image: Vec<f32> = (0..192).map(|i| i as f32).collect();
        let cut = patches(&small(), &image);
        // Patch 1 is the top right: plane 0, row 0, columns 4..8; then its row 1; plane 1 later.
        assert_eq!(cut[48..56], [4.0, 5.0, 6.0, 7.0, 12.0, 13.0, 14.0, 15.0]);
        assert_eq!(cut[48 + 16], 64.0 + 4.0);
        assert_eq!(cut[96], 32.0);
    }
}
