//! CIFAR-10 and CIFAR-100 in their official binary formats: records of the label and 3 x 32 x 32
//! pixel bytes. CIFAR-100's records begin with a coarse label, which is skipped.
//!
//! Source: <https://www.cs.toronto.edu/~kriz/cifar.html>, "Binary version". Files are found by
//! name, so that the archive, its unpacked folder and the folder around it all work.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;
use crate::data::{CHANNELS, DataSet, Split};

/// Height and width of an image.
pub const SIDE: usize = 32;
const IMAGE_BYTES: usize = CHANNELS * SIDE * SIDE;

/// What one of the two sets is made of.
struct Format {
    name: &'static str,
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    classes: usize,
    /// Label bytes of a record; the last one is the class.
    labels: usize,
}

const FORMATS: [Format; 2] = [
    Format {
        name: "CIFAR-10",
        folder: "cifar-10-batches-bin",
        train: &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        test: "test_batch.bin",
        classes: 10,
        labels: 1,
    },
    Format {
        name: "CIFAR-100",
        folder: "cifar-100-binary",
        train: &["train.bin"],
        test: "test.bin",
        classes: 100,
        labels: 2,
    },
];

impl Format {
    fn files(&self) -> impl Iterator<Item = &'static str> {
        self.train.iter().copied().chain([self.test])
    }

    /// Appends the records of one file.
    fn append(&self, split: &mut Split, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let length = self.labels + IMAGE_BYTES;
        if bytes.is_empty() || !bytes.len().is_multiple_of(length) {
            return Err(Error::Data(format!(
                "{name} has {} bytes, which is not a whole number of {length}-byte records: \
                 it is cut off or not {}'s binary version",
                bytes.len(),
                self.name
            )));
        }
        for (i, record) in bytes.chunks_exact(length).enumerate() {
            let label = record[self.labels - 1];
            if usize::from(label) >= self.classes {
                return Err(Error::Data(format!(
                    "{name}, record {i}: label {label} is not a {} class (0 to {})",
                    self.name,
                    self.classes - 1
                )));
            }
            split.push(u16::from(label), &record[self.labels..]);
        }
        Ok(())
    }
}

/// Reads `cifar-10-binary.tar.gz` or `cifar-100-binary.tar.gz`, or a folder with the files of one.
///
/// # Errors
/// [`Error::File`] when `path` cannot be read, [`Error::Data`] when a file is missing, cut off or
/// holds a label that is no class.
pub fn read(path: &Path) -> Result<DataSet, Error> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    if path.is_dir() {
        read_folder(path, &mut files)?;
    } else {
        read_archive(path, &mut files)?;
    }
    let find = |name: &str| files.iter().find(|f| f.0 == name).map(|f| f.1.as_slice());
    let format = FORMATS.iter().find(|f| f.files().any(|name| find(name).is_some()));
    let missing = |name: &str| {
        Error::Data(format!(
            "{} holds no {name} (wanted: data_batch_1..5.bin and test_batch.bin of CIFAR-10, \
             train.bin and test.bin of CIFAR-100, or tiny-imagenet-200)",
            path.display()
        ))
    };
    let format = format.ok_or_else(|| missing("data set"))?;
    let (mut train, mut test) = (Split::new(SIDE), Split::new(SIDE));
    for name in format.train {
        format.append(&mut train, name, find(name).ok_or_else(|| missing(name))?)?;
    }
    let bytes = find(format.test).ok_or_else(|| missing(format.test))?;
    format.append(&mut test, format.test, bytes)?;
    Ok(DataSet { name: format.name, classes: format.classes, held: Split::new(SIDE), train, test })
}

fn wanted(name: &str) -> bool {
    FORMATS.iter().any(|f| f.files().any(|file| file == name))
}

fn read_folder(path: &Path, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    for format in &FORMATS {
        let inner = path.join(format.folder);
        let folder = if inner.is_dir() { inner.as_path() } else { path };
        for name in format.files() {
            let file = folder.join(name);
            if file.exists() {
                let bytes = std::fs::read(&file).map_err(|e| Error::file(&file, e))?;
                files.push((name.to_owned(), bytes));
            }
        }
    }
    Ok(())
}

fn read_archive(path: &Path, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    let file = File::open(path).map_err(|e| Error::file(path, e))?;
    let broken = |e: std::io::Error| {
        Error::Data(format!("{} is not a whole .tar.gz ({e}): download it again", path.display()))
    };
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name =
            entry.path().map_err(broken)?.file_name().map(|n| n.to_string_lossy().into_owned());
        if let Some(name) = name.filter(|n| wanted(n)) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(broken)?;
            files.push((name, bytes));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("sotto-nas-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn record(label: u8, fill: u8) -> Vec<u8> {
        let mut r = vec![fill; 1 + IMAGE_BYTES];
        r[0] = label;
        r
    }

    fn write_set(dir: &Path) {
        for (i, name) in FORMATS[0].files().enumerate() {
            std::fs::write(dir.join(name), record(i as u8, 10 * i as u8)).unwrap();
        }
    }

    #[test]
    fn reads_a_folder_in_order() {
        let dir = folder("order");
        write_set(&dir);
        let set = read(&dir).unwrap();
        assert_eq!((set.train.len(), set.test.len(), set.classes), (5, 1, 10));
        assert_eq!((0..5).map(|i| set.train.label(i)).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(set.train.image(3).iter().all(|&b| b == 30));
        assert_eq!(set.test.label(0), 5);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn reads_the_hundred_classes_by_their_fine_label() {
        let dir = folder("hundred");
        let inner = dir.join("cifar-100-binary");
        std::fs::create_dir_all(&inner).unwrap();
        let record = |coarse: u8, fine: u8| {
            let mut record = vec![fine; 2 + IMAGE_BYTES];
            record[0] = coarse;
            record
        };
        let train = [record(3, 99), record(19, 7)].concat();
        std::fs::write(inner.join("train.bin"), train).unwrap();
        std::fs::write(inner.join("test.bin"), record(1, 42)).unwrap();
        let set = read(&dir).unwrap();
        assert_eq!((set.name, set.classes, set.train.len()), ("CIFAR-100", 100, 2));
        assert_eq!((set.train.label(0), set.train.label(1), set.test.label(0)), (99, 7, 42));
        assert!(set.train.image(1).iter().all(|&b| b == 7));
        std::fs::write(inner.join("test.bin"), record(1, 100)).unwrap();
        let error = read(&dir).unwrap_err().to_string();
        assert!(error.contains("label 100") && error.contains("0 to 99"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn reads_an_archive_and_refuses_a_cut_one() {
        let dir = folder("archive");
        write_set(&dir);
        let path = dir.join("set.tar.gz");
        let gz = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut tar = tar::Builder::new(gz);
        for name in FORMATS[0].files() {
            tar.append_path_with_name(dir.join(name), format!("cifar-10-batches-bin/{name}"))
                .unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        assert_eq!(read(&path).unwrap().train.len(), 5);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("not a whole .tar.gz"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn refuses_a_cut_file_a_wrong_label_and_a_missing_file() {
        let dir = folder("bad");
        write_set(&dir);
        std::fs::write(dir.join("data_batch_2.bin"), vec![0; IMAGE_BYTES]).unwrap();
        let error = read(&dir).unwrap_err().to_string();
        assert!(error.contains("data_batch_2.bin") && error.contains("cut off"), "{error}");
        std::fs::write(dir.join("data_batch_2.bin"), record(10, 0)).unwrap();
        let error = read(&dir).unwrap_err().to_string();
        assert!(error.contains("record 0: label 10"), "{error}");
        std::fs::remove_file(dir.join("data_batch_2.bin")).unwrap();
        let error = read(&dir).unwrap_err().to_string();
        assert!(error.contains("holds no data_batch_2.bin"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
