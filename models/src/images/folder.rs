//! The labelled test pictures of a data set's own folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{Fit, MAX_FILE, Picture, cifar, decode, file_name, read_records};
use crate::{Error, Model, files};

/// Reads at most `limit` test pictures from the folder of CIFAR-10's or CIFAR-100's binary version, or of Tiny-ImageNet
/// (its validation pictures, in the order of their list: the test pictures have no labels); `path` is that folder or
/// the one around it.
///
/// # Errors
/// [`Error::Picture`] where it is none of these, or a list or picture is not what the format says; [`Error::Io`] where
/// a file cannot be read.
pub(super) fn test_pictures(
    path: &Path,
    model: &Model,
    fit: Fit,
    limit: usize,
) -> Result<Vec<Picture>, Error> {
    for set in cifar::SETS {
        let inside = [path.join(set.folder).join(set.test), path.join(set.test)];
        if let Some(file) = inside.iter().find(|file| file.is_file()) {
            let from = BufReader::new(File::open(file).map_err(Error::io(file))?);
            return read_records(from, set, set.test, (model, fit), limit);
        }
    }
    match TinyImageNet::find(path) {
        Some(root) => TinyImageNet::read(&root)?.test_pictures(model, fit, limit),
        None => Err(Error::picture(
            file_name(path),
            "this folder holds no `test_batch.bin` (CIFAR-10), `test.bin` (CIFAR-100) or `wnids.txt` (Tiny-ImageNet)",
        )),
    }
}

/// What the lists in Tiny-ImageNet's folder say.
pub struct TinyImageNet {
    /// The classes' names, in the order of their numbers.
    pub classes: Vec<String>,
    /// Class and file of each validation picture, in the order of their list.
    pub validation: Vec<(u8, PathBuf)>,
}

impl TinyImageNet {
    /// Classes of the whole set.
    pub const CLASSES: usize = 200;

    /// The folder with `wnids.txt`, which is `path` or lies in it.
    pub fn find(path: &Path) -> Option<PathBuf> {
        let inside = [path.to_owned(), path.join("tiny-imagenet-200")];
        inside.into_iter().find(|root| root.join("wnids.txt").is_file())
    }

    /// Reads the lists in the folder that [`TinyImageNet::find`] found.
    ///
    /// # Errors
    /// [`Error::Io`] for a list that cannot be read, [`Error::Picture`] for one that is not what the format says; names of
    /// files outside the folder are refused.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let classes: Vec<String> =
            text(&root.join("wnids.txt"))?.split_whitespace().map(String::from).collect();
        if classes.is_empty() || classes.len() > Self::CLASSES {
            let why = format!("lists {} classes; expected 1 to {}", classes.len(), Self::CLASSES);
            return Err(Error::picture("wnids.txt", why));
        }
        let number: BTreeMap<&str, u8> = classes.iter().map(String::as_str).zip(0..).collect();
        let images = root.join("val").join("images");
        let mut validation = Vec::new();
        for (i, line) in text(&root.join("val").join("val_annotations.txt"))?.lines().enumerate() {
            let bad = |why: String| {
                Error::picture("val_annotations.txt", format!("line {}: {why}", i + 1))
            };
            let mut words = line.split('\t');
            let (name, class) =
                (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let label = number
                .get(class)
                .ok_or_else(|| bad(format!("{class:?} is none of the classes in wnids.txt")))?;
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(bad(format!("{name:?} is not the name of a file")));
            }
            validation.push((*label, images.join(name)));
        }
        Ok(Self { classes, validation })
    }

    fn test_pictures(&self, model: &Model, fit: Fit, limit: usize) -> Result<Vec<Picture>, Error> {
        let one = |(label, path): &(u8, PathBuf)| {
            let picture = decode(&bytes(path)?, &file_name(path), model, fit)?;
            Ok(Picture { label: Some(*label), ..picture })
        };
        self.validation.iter().take(limit).map(one).collect()
    }
}

fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(bytes(path)?).map_err(|e| Error::picture(file_name(path), e.to_string()))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    files::read(path, MAX_FILE)
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::cifar::PIXELS;
    use super::*;
    use crate::Arch;

    fn write(path: &Path, bytes: &[u8]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn labels(path: &Path, arch: &Arch, limit: usize) -> Result<Vec<Option<u8>>, Error> {
        let pictures = load(path, arch, Fit::Exact, limit)?;
        Ok(pictures.iter().map(|p| p.label).collect())
    }

    #[test]
    fn both_cifar_folders_are_read_and_the_bare_file_of_a_hundred_classes() {
        let dir = tempfile::tempdir().unwrap();
        let ten: Vec<u8> = [4, 9].iter().flat_map(|&l| [&[l][..], &[l; PIXELS]].concat()).collect();
        write(&dir.path().join("a/cifar-10-batches-bin/test_batch.bin"), &ten);
        let arch = Arch::vit_cifar();
        assert_eq!(labels(&dir.path().join("a"), &arch, 9).unwrap(), [Some(4), Some(9)]);
        let inner = dir.path().join("a/cifar-10-batches-bin");
        assert_eq!(labels(&inner, &arch, 1).unwrap(), [Some(4)]);

        let hundred = Arch { classes: 100, labels: Vec::new(), ..arch };
        let bytes: Vec<u8> =
            [99, 7].iter().flat_map(|&l| [&[3, l][..], &[l; PIXELS]].concat()).collect();
        let file = dir.path().join("b/test.bin");
        write(&file, &bytes);
        for path in [dir.path().join("b"), file] {
            let read = load(&path, &hundred, Fit::Exact, 9).unwrap();
            assert_eq!((read[0].label, read[1].label), (Some(99), Some(7)));
            assert!(read[1].pixels.iter().all(|&p| p == 7));
        }
        let mut wrong = bytes;
        wrong[PIXELS + 3] = 100;
        write(&dir.path().join("b/test.bin"), &wrong);
        let said = labels(&dir.path().join("b"), &hundred, 9).unwrap_err().to_string();
        assert!(said.contains("label 100 at offset 3075; CIFAR-100 has labels 0 to 99"), "{said}");
    }

    #[test]
    fn tiny_imagenets_validation_pictures_come_in_the_order_of_their_list() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tiny-imagenet-200");
        write(&root.join("wnids.txt"), b"n02\nn01\n");
        for (name, shade) in [("val_1.JPEG", 10), ("val_0.JPEG", 20)] {
            let path = root.join("val/images").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let picture = image::RgbImage::from_pixel(64, 64, image::Rgb([shade; 3]));
            picture.save_with_format(path, image::ImageFormat::Png).unwrap();
        }
        let list = root.join("val/val_annotations.txt");
        write(&list, b"val_1.JPEG\tn01\t0\t0\t9\t9\nval_0.JPEG\tn02\t0\t0\t9\t9\n");
        let arch = Arch::vit_tiny();
        for path in [dir.path(), &root] {
            let read = load(path, &arch, Fit::Exact, 9).unwrap();
            let seen: Vec<_> = read.iter().map(|p| (p.label, p.pixels[0])).collect();
            assert_eq!(seen, [(Some(1), 10), (Some(0), 20)]);
        }
        write(&list, b"val_1.JPEG\tn03\n");
        let said = labels(&root, &arch, 9).unwrap_err().to_string();
        assert!(said.contains("line 1: \"n03\" is none of the classes"), "{said}");
        write(&list, b"../wnids.txt\tn01\n");
        let said = labels(&root, &arch, 9).unwrap_err().to_string();
        assert!(said.contains("is not the name of a file"), "{said}");
        let said = labels(&root.join("val"), &arch, 9).unwrap_err().to_string();
        assert!(
            said.contains("`test.bin` (CIFAR-100)") && said.contains("Tiny-ImageNet"),
            "{said}"
        );
    }
}
