//! Data sets: CIFAR-10 and CIFAR-100 in their official binary formats, Tiny-ImageNet as its folder.

pub mod cifar;
pub mod tiny;

use std::path::Path;

use sotto_models::images::TinyImageNet;

use crate::Error;

/// Colour planes of an image.
pub const CHANNELS: usize = 3;

/// Labelled images of one size, as stored: bytes, planes red, green, blue, each row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    side: usize,
    images: Vec<u8>,
    labels: Vec<u16>,
}

impl Split {
    /// No images of `side` x `side` pixels.
    pub fn new(side: usize) -> Self {
        Self { side, images: Vec::new(), labels: Vec::new() }
    }

    /// Height and width of an image.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn bytes(&self) -> usize {
        CHANNELS * self.side * self.side
    }

    /// The bytes of image `i`, `[3, side, side]`.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.images[i * self.bytes()..(i + 1) * self.bytes()]
    }

    /// The class of image `i`.
    pub fn label(&self, i: usize) -> usize {
        usize::from(self.labels[i])
    }

    /// The first `n` images (all, when there are fewer).
    pub fn head(&self, n: usize) -> Self {
        let n = n.min(self.len());
        Self {
            side: self.side,
            images: self.images[..n * self.bytes()].to_vec(),
            labels: self.labels[..n].to_vec(),
        }
    }

    /// Adds an image.
    ///
    /// # Panics
    /// When it has another size.
    pub fn push(&mut self, label: u16, image: &[u8]) {
        assert_eq!(image.len(), self.bytes(), "bytes of an image of side {}", self.side);
        self.labels.push(label);
        self.images.extend_from_slice(image);
    }

    /// `n` noisy pictures whose colour tells their class of ten: what tests learn.
    #[cfg(test)]
    pub(crate) fn synthetic(n: usize) -> Self {
        let mut rng = crate::augment::Rng::new(&[n as u64]);
        let mut split = Self::new(32);
        for i in 0..n {
            let label = i % 10;
            let pixel = |at: usize| {
                let shade = label * [1, 3, 7][at / 1024] % 10;
                (shade * 22 + rng.below(50)) as u8
            };
            let image: Vec<u8> = (0..split.bytes()).map(pixel).collect();
            split.push(label as u16, &image);
        }
        split
    }
}

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// What people call it.
    pub name: &'static str,
    /// Number of classes.
    pub classes: usize,
    /// The training images.
    pub train: Split,
    /// The test images; Tiny-ImageNet's labelled validation images.
    pub test: Split,
}

impl DataSet {
    /// Reads what lies at `path`: an archive or a folder of CIFAR-10 or CIFAR-100 (binary version),
    /// or Tiny-ImageNet's folder.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Data`] when it is none of these, or a file
    /// is missing or damaged.
    pub fn read(path: &Path) -> Result<Self, Error> {
        match TinyImageNet::find(path) {
            Some(root) => tiny::read(&root),
            None => cifar::read(path),
        }
    }
}
