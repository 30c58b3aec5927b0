//! PNG and JPEG files, and pictures of another size than the model's.

use std::io::Cursor;

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Fit, MAX_FILE, Picture};
use crate::{Error, Model};

/// Largest side of a PNG or JPEG picture.
const MAX_SIDE: u32 = 8192;
/// Most memory that decoding one picture may take.
const MAX_DECODED: u64 = 384 << 20;

/// Decodes one PNG or JPEG; transparency is dropped, a camera's orientation is applied.
///
/// # Errors
/// [`Error::Picture`] for other formats, damaged files, more than 64 MiB or 8192 pixels a side, and
/// a size other than the model's under [`Fit::Exact`].
pub fn decode(
    bytes: &[u8],
    file: &str,
    model: impl Into<Model>,
    fit: Fit,
) -> Result<Picture, Error> {
    let model = &model.into();
    if bytes.len() as u64 > MAX_FILE {
        let why = format!("is larger than {} MiB", MAX_FILE >> 20);
        return Err(Error::picture(file, why));
    }
    let bad = |e: image::ImageError| Error::picture(file, e.to_string());
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .expect("a slice in memory is read without errors");
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
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
        exact(decoder.dimensions(), file, model)?;
    }
    if decoder.total_bytes() > MAX_DECODED {
        let why = format!("takes more than {} MiB unpacked", MAX_DECODED >> 20);
        return Err(Error::picture(file, why));
    }
    let orientation = decoder.orientation().map_err(bad)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(bad)?;
    picture.apply_orientation(orientation);
    let pixels = planes(fitted(picture, file, model, fit)?);
    Ok(Picture { pixels, label: None, name: file.to_string() })
}

/// The side of the model's pictures.
pub(super) fn side(model: &Model, file: &str) -> Result<usize, Error> {
    let words = || format!("is a picture; `{}` takes words", model.name);
    model.pixels().map(|p| p.image).ok_or_else(|| Error::picture(file, words()))
}

fn exact((width, height): (u32, u32), file: &str, model: &Model) -> Result<(), Error> {
    let side = side(model, file)?;
    if (width as usize, height as usize) == (side, side) {
        return Ok(());
    }
    let why = format!(
        "has {width} x {height} pixels; `{}` takes {side} x {side} (--resize crops and scales)",
        model.name
    );
    Err(Error::picture(file, why))
}

/// A picture of the model's size, cut and scaled where `fit` allows it.
pub(super) fn fitted(
    picture: DynamicImage,
    file: &str,
    model: &Model,
    fit: Fit,
) -> Result<DynamicImage, Error> {
    if let Fit::Framed(framing) = fit {
        return framing.apply(&picture, file);
    }
    let (width, height) = (picture.width(), picture.height());
    let side = u32::try_from(side(model, file)?).expect("a picture's side is at most 1024");
    if (width, height) == (side, side) {
        return Ok(picture);
    }
    if fit == Fit::Exact {
        exact((width, height), file, model)?;
    }
    let square = width.min(height);
    let (left, top) = ((width - square) / 2, (height - square) / 2);
    let cut = picture.crop_imm(left, top, square, square);
    Ok(cut.resize_exact(side, side, FilterType::Triangle))
}

/// The red, green and blue planes.
pub(super) fn planes(picture: DynamicImage) -> Vec<u8> {
    let rgb = picture.into_rgb8();
    (0..3).flat_map(|c| rgb.pixels().map(move |pixel| pixel.0[c])).collect()
}
