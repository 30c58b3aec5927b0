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

    /// Adds the images of another split of this size.
    fn append(&mut self, other: &Self) {
        assert_eq!(self.side, other.side, "splits of one size");
        self.images.extend_from_slice(&other.images);
        self.labels.extend_from_slice(&other.labels);
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSet {
    /// What people call it.
    pub name: &'static str,
    /// Number of classes.
    pub classes: usize,
    /// The training images.
    pub train: Split,
    /// Training images that a search keeps apart to choose by; none in training.
    pub held: Split,
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

    /// So many noisy pictures to train on and to test with.
    #[cfg(test)]
    pub(crate) fn synthetic(train: usize, test: usize) -> Self {
        let [train, test] = [train, test].map(Split::synthetic);
        Self { name: "synthetic", classes: 10, train, held: Split::new(32), test }
    }

    /// Keeps `n` training images apart, evenly spaced, as some data sets are sorted by class.
    ///
    /// # Errors
    /// [`Error::Usage`] when that is more than half of them.
    pub fn hold(mut self, n: usize) -> Result<Self, Error> {
        let all = self.train.len();
        if 2 * n > all {
            let why = format!("--validate {n} of {all} training images: at most half of them");
            return Err(Error::Usage(why));
        }
        let step = all.checked_div(n).unwrap_or(all + 1);
        let mut parts = [Split::new(self.train.side()), Split::new(self.train.side())];
        for i in 0..all {
            let held = (i + 1).is_multiple_of(step) && i / step < n;
            parts[usize::from(held)].push(self.train.labels[i], self.train.image(i));
        }
        [self.train, self.held] = parts;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_images_are_evenly_spaced_and_no_longer_trained_on() {
        let all = Split::synthetic(50);
        let data = DataSet { train: all.clone(), ..DataSet::synthetic(0, 0) };
        assert_eq!(data.clone().hold(0).unwrap(), data);
        let data = data.hold(15).unwrap();
        assert_eq!((data.train.len(), data.held.len()), (35, 15));
        for i in 0..15 {
            assert_eq!(data.held.image(i), all.image(3 * i + 2));
            assert_eq!(data.held.label(i), all.label(3 * i + 2));
        }
        let trained: Vec<usize> = (0..50).filter(|i| i % 3 != 2 || *i >= 45).collect();
        for (i, at) in trained.into_iter().enumerate() {
            assert_eq!(data.train.image(i), all.image(at));
        }
        let error = data.hold(18).unwrap_err().to_string();
        assert!(error.contains("--validate 18 of 35"), "{error}");
    }
}
