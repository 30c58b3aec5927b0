//! The labelled test pictures of a data set's own folder.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{Fit, HUNDRED, MAX_FILE, Picture, TEN, decode, file_name, read_records};
use crate::{Arch, Error};

/// Reads at most `limit` test pictures from the folder of CIFAR-10's or CIFAR-100's binary version, or of Tiny-ImageNet
/// (its validation pictures, in the order of their list: the test pictures have no labels); `path` is that folder or
/// the one around it.
///
/// # Errors
/// [`Error::Picture`] where it is none of these, or a list or picture is not what the format says; [`Error::Io`] where
/// a file cannot be read.
pub(super) fn test_pictures(
    path: &Path,
    arch: &Arch,
    fit: Fit,
    limit: usize,
) -> Result<Vec<Picture>, Error> {
    let cifar = [
        ("cifar-10-batches-bin", "test_batch.bin", &TEN),
        ("cifar-100-binary", "test.bin", &HUNDRED),
    ];
    for (folder, name, records) in cifar {
        let inside = [path.join(folder).join(name), path.join(name)];
        if let Some(file) = inside.iter().find(|file| file.is_file()) {
            let from = BufReader::new(File::open(file).map_err(Error::io(file))?);
            return read_records(from, records, name, (arch, fit), limit);
        }
    }
    let tiny = [path.join("tiny-imagenet-200"), path.to_path_buf()];
    match tiny.iter().find(|root| root.join("wnids.txt").is_file()) {
        Some(root) => tiny_pictures(root, arch, fit, limit),
        None => Err(Error::picture(
            file_name(path),
            "this folder holds no `test_batch.bin` (CIFAR-10), `test.bin` (CIFAR-100) or `wnids.txt` (Tiny-ImageNet)",
        )),
    }
}

fn tiny_pictures(root: &Path, arch: &Arch, fit: Fit, limit: usize) -> Result<Vec<Picture>, Error> {
    let classes = text(&root.join("wnids.txt"))?;
    let classes: Vec<&str> = classes.split_whitespace().collect();
    let list = text(&root.join("val").join("val_annotations.txt"))?;
    let mut pictures = Vec::new();
    for (i, line) in list.lines().enumerate().take(limit) {
        let bad =
            |why: String| Error::picture("val_annotations.txt", format!("line {}: {why}", i + 1));
        let (name, rest) = line.split_once('\t').unwrap_or((line, ""));
        let class = rest.split('\t').next().unwrap_or_default();
        let label = classes.iter().position(|c| *c == class).and_then(|at| u8::try_from(at).ok());
        let label =
            label.ok_or_else(|| bad(format!("{class:?} is none of the classes in wnids.txt")))?;
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(bad(format!("{name:?} is not the name of a file")));
        }
        let bytes = bytes(&root.join("val").join("images").join(name))?;
        pictures.push(Picture { label: Some(label), ..decode(&bytes, name, arch, fit)? });
    }
    Ok(pictures)
}

fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(bytes(path)?).map_err(|e| Error::picture(file_name(path), e.to_string()))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{CIFAR_PIXELS, load};
    use super::*;

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
        let ten: Vec<u8> =
            [4, 9].iter().flat_map(|&l| [&[l][..], &[l; CIFAR_PIXELS]].concat()).collect();
        write(&dir.path().join("a/cifar-10-batches-bin/test_batch.bin"), &ten);
        let arch = Arch::vit_cifar();
        assert_eq!(labels(&dir.path().join("a"), &arch, 9).unwrap(), [Some(4), Some(9)]);
        let inner = dir.path().join("a/cifar-10-batches-bin");
        assert_eq!(labels(&inner, &arch, 1).unwrap(), [Some(4)]);

        let hundred = Arch { classes: 100, labels: Vec::new(), ..arch };
        let bytes: Vec<u8> =
            [99, 7].iter().flat_map(|&l| [&[3, l][..], &[l; CIFAR_PIXELS]].concat()).collect();
        let file = dir.path().join("b/test.bin");
        write(&file, &bytes);
        for path in [dir.path().join("b"), file] {
            let read = load(&path, &hundred, Fit::Exact, 9).unwrap();
            assert_eq!((read[0].label, read[1].label), (Some(99), Some(7)));
            assert!(read[1].pixels.iter().all(|&p| p == 7));
        }
        let mut wrong = bytes;
        wrong[CIFAR_PIXELS + 3] = 100;
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
