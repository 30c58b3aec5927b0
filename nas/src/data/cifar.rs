//! CIFAR-10 and CIFAR-100 in memory, from the archive or a folder with its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use sotto_models::images::cifar::{self, Cifar, SETS, SIDE};

use crate::Error;
use crate::data::{DataSet, Split};

/// Reads `cifar-10-binary.tar.gz` or `cifar-100-binary.tar.gz`, or a folder with the files of one.
///
/// # Errors
/// [`Error::File`] when `path` cannot be read, [`Error::Data`] when a file is missing, cut off or
/// holds a label that is no class.
pub fn read(path: &Path) -> Result<DataSet, Error> {
    let mut files = if path.is_dir() { read_folder(path)? } else { read_archive(path)? };
    let set = SETS.into_iter().find(|set| set.files().any(|name| files.contains_key(name)));
    let missing = |name: &str| {
        Error::Data(format!(
            "{} holds no {name} (wanted: data_batch_1..5.bin and test_batch.bin of CIFAR-10, \
             train.bin and test.bin of CIFAR-100, or tiny-imagenet-200)",
            path.display()
        ))
    };
    let set = set.ok_or_else(|| missing("data set"))?;
    let mut take = |name: &str| files.remove(name).ok_or_else(|| missing(name));
    let mut train = Split::new(SIDE);
    for name in set.train {
        train.append(&take(name)?);
    }
    let (test, held) = (take(set.test)?, Split::new(SIDE));
    Ok(DataSet { name: set.name, classes: set.classes.into(), held, train, test })
}

fn read_folder(path: &Path) -> Result<BTreeMap<&'static str, Split>, Error> {
    let mut files = BTreeMap::new();
    for set in SETS {
        let inner = path.join(set.folder);
        let folder = if inner.is_dir() { inner.as_path() } else { path };
        for name in set.files() {
            let file = folder.join(name);
            if file.exists() {
                let from = File::open(&file).map_err(|e| Error::file(&file, e))?;
                let from = BufReader::new(from);
                files.insert(name, split(set, from, name).map_err(Error::from_data)?);
            }
        }
    }
    Ok(files)
}

fn read_archive(path: &Path) -> Result<BTreeMap<&'static str, Split>, Error> {
    let from = BufReader::new(File::open(path).map_err(|e| Error::file(path, e))?);
    let archive = path.display().to_string();
    let mut files = BTreeMap::new();
    let all = cifar::members(from, &archive, |set, name, from| {
        files.insert(name, split(set, from, &format!("{archive}/{name}"))?);
        Ok(ControlFlow::Continue(()))
    });
    all.map_err(Error::from_data)?;
    Ok(files)
}

/// All records of a file.
fn split(set: &Cifar, from: impl Read, file: &str) -> Result<Split, sotto_models::Error> {
    let mut split = Split::new(SIDE);
    set.records(from, file, usize::MAX, |label, planes| {
        split.push(label.into(), planes);
        Ok(())
    })?;
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_models::images::cifar::{PIXELS, TEN};

    fn folder(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("sotto-nas-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn record(label: u8, fill: u8) -> Vec<u8> {
        let mut r = vec![fill; 1 + PIXELS];
        r[0] = label;
        r
    }

    fn write_set(dir: &Path) {
        for (i, name) in TEN.files().enumerate() {
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
            let mut record = vec![fine; 2 + PIXELS];
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
        for name in TEN.files() {
            tar.append_path_with_name(dir.join(name), format!("cifar-10-batches-bin/{name}"))
                .unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        assert_eq!(read(&path).unwrap().train.len(), 5);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("set.tar.gz") && error.contains("download it again"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn refuses_a_cut_file_a_wrong_label_and_a_missing_file() {
        let dir = folder("bad");
        write_set(&dir);
        std::fs::write(dir.join("data_batch_2.bin"), vec![0; PIXELS]).unwrap();
        let error = read(&dir).unwrap_err().to_string();
        assert!(error.contains("data_batch_2.bin: ends at offset 3072, inside"), "{error}");
        std::fs::write(dir.join("data_batch_2.bin"), record(10, 0)).unwrap();
        let error = read(&dir).unwrap_err().to_string();
        assert!(error.contains("data_batch_2.bin: label 10 at offset 0"), "{error}");
        std::fs::remove_file(dir.join("data_batch_2.bin")).unwrap();
        let error = read(&dir).unwrap_err().to_string();
        assert!(error.contains("holds no data_batch_2.bin"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
