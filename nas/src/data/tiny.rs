//! Tiny-ImageNet in the folders of its official archive (`tiny-imagenet-200`): 200 classes of 500
//! training and 50 validation pictures of 64 x 64 pixels. Its test pictures have no labels; as
//! everywhere, the validation pictures stand in for them.
//!
//! `wnids.txt` lists the classes in the order of their numbers; `train/<class>/images/*.JPEG`;
//! `val/val_annotations.txt` names file and class of `val/images/*.JPEG`.

use std::path::{Path, PathBuf};

use sotto_models::Arch;
use sotto_models::images::{Fit, TinyImageNet, decode};

use crate::Error;
use crate::data::{DataSet, Split};

/// Height and width of an image.
pub const SIDE: usize = 64;
/// Threads that decode pictures.
const WORKERS: usize = 4;

/// Reads the folder with `wnids.txt`.
///
/// # Errors
/// [`Error::File`] for a file that is missing, [`Error::Data`] for a picture or a line that is not
/// what the format says.
pub fn read(root: &Path) -> Result<DataSet, Error> {
    let lists = TinyImageNet::read(root).map_err(Error::from_data)?;
    let mut train = Vec::new();
    for (class, label) in lists.classes.iter().zip(0..) {
        let folder = root.join("train").join(class).join("images");
        let entries = std::fs::read_dir(&folder).map_err(|e| Error::file(&folder, e))?;
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry.map_err(|e| Error::file(&folder, e))?.path());
        }
        files.sort();
        train.extend(files.into_iter().map(|file| (label, file)));
    }
    let (train, test) = (load(&train)?, load(&lists.validation)?);
    let (held, classes) = (Split::new(train.side()), TinyImageNet::CLASSES);
    Ok(DataSet { name: "Tiny-ImageNet", classes, train, held, test })
}

fn load(files: &[(u8, PathBuf)]) -> Result<Split, Error> {
    let arch = Arch::vit_tiny();
    let part = |files: &[(u8, PathBuf)]| -> Result<Vec<(u8, Vec<u8>)>, Error> {
        let one = |(label, path): &(u8, PathBuf)| {
            let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
            let name = path.display().to_string();
            let picture =
                decode(&bytes, &name, &arch, Fit::Exact).map_err(|e| Error::Data(e.to_string()))?;
            Ok((*label, picture.pixels))
        };
        files.iter().map(one).collect()
    };
    let chunk = files.len().div_ceil(WORKERS).max(1);
    let mut split = Split::new(SIDE);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            files.chunks(chunk).map(|files| scope.spawn(move || part(files))).collect();
        for thread in threads {
            let pictures = thread.join().expect("a thread that panics ends the program")?;
            pictures.iter().for_each(|(label, pixels)| split.push(u16::from(*label), pixels));
        }
        Ok(split)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG, which is told from a JPEG by its first bytes: one grey everywhere.
    fn picture(shade: u8, side: u32) -> Vec<u8> {
        let mut out = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(side, side, image::Rgb([shade, 0, 255]))
            .write_to(&mut out, image::ImageFormat::Png)
            .unwrap();
        out.into_inner()
    }

    fn write(root: &Path, name: &str, bytes: &[u8]) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn reads_folders_in_the_order_of_classes_and_names_what_is_wrong() {
        let dir = std::env::temp_dir().join(format!("sotto-nas-tiny-{}", std::process::id()));
        let root = dir.join("tiny-imagenet-200");
        write(&root, "wnids.txt", b"n02\nn01\n");
        for (class, shade) in [("n01", 10), ("n02", 20)] {
            for i in 0..2 {
                let name = format!("train/{class}/images/{class}_{i}.JPEG");
                write(&root, &name, &picture(shade + i, 64));
            }
        }
        write(&root, "val/images/val_0.JPEG", &picture(7, 64));
        write(&root, "val/val_annotations.txt", b"val_0.JPEG\tn01\t0\t0\t9\t9\n");
        let data = DataSet::read(&dir).unwrap();
        assert_eq!((data.name, data.classes, data.train.side()), ("Tiny-ImageNet", 200, 64));
        let labels: Vec<_> = (0..4).map(|i| data.train.label(i)).collect();
        let shades: Vec<_> = (0..4).map(|i| data.train.image(i)[0]).collect();
        assert_eq!((labels, shades), (vec![0, 0, 1, 1], vec![20, 21, 10, 11]));
        assert_eq!((data.test.len(), data.test.label(0), data.test.image(0)[0]), (1, 1, 7));

        write(&root, "val/val_annotations.txt", b"val_0.JPEG\tn09\t0\t0\t9\t9\n");
        let error = DataSet::read(&dir).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("n09"), "{error}");
        write(&root, "val/val_annotations.txt", b"val_0.JPEG\tn01\n");
        write(&root, "val/images/val_0.JPEG", &picture(7, 32));
        let error = DataSet::read(&dir).unwrap_err().to_string();
        assert!(error.contains("val_0.JPEG"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
