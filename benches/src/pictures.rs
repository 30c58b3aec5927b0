//! Random pictures as files, for the client process to read.

use std::path::{Path, PathBuf};

use image::RgbImage;
use sotto_crypto::Seed;
use sotto_models::model::Pixels;

use crate::error::Error;

/// Writes `count` PNG files of the model's size with uniform bytes into `folder`.
///
/// # Errors
/// [`Error::Io`] when a file cannot be written.
pub fn write(pixels: &Pixels, count: usize, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut stream = Seed::from_bytes([3; 32]).stream(0);
    let size = pixels.image as u32;
    (0..count)
        .map(|i| {
            let bytes = stream.bytes(pixels.numbers());
            let picture = RgbImage::from_raw(size, size, bytes).expect("three bytes a pixel");
            let path = folder.join(format!("random-{i}.png"));
            let written = picture.save(&path).map_err(std::io::Error::other);
            written.map_err(Error::io(&path))?;
            Ok(path)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_models::{
        Arch,
        images::{Fit, load},
    };

    #[test]
    fn pictures_are_what_the_model_reads() {
        let folder = tempfile::tempdir().expect("a folder");
        for arch in [Arch::vit_cifar(), Arch::vit_tiny()] {
            let files = write(&arch.pixels(), 2, folder.path()).expect("written");
            let read = |i: usize| load(&files[i], &arch, Fit::Exact, 1).expect("of the right size");
            let (a, b) = (read(0), read(1));
            assert_eq!(a[0].pixels.len(), 3 * arch.image * arch.image);
            assert!(a[0].pixels != b[0].pixels, "each is another");
        }
    }
}
