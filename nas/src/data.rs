//! CIFAR-10 in its official binary format: records of one label byte and 3 x 32 x 32 pixel bytes.
//!
//! Source: <https://www.cs.toronto.edu/~kriz/cifar.html>, "Binary version". Files are found by
//! name, so that the archive, its unpacked folder and the folder around it all work.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;

/// Height and width of an image.
pub const SIDE: usize = 32;
/// Colour planes of an image.
pub const CHANNELS: usize = 3;
/// Bytes of one image: planes red, green, blue, each row by row.
pub const IMAGE_BYTES: usize = CHANNELS * SIDE * SIDE;
/// Number of classes.
pub const CLASSES: usize = 10;
const RECORD: usize = 1 + IMAGE_BYTES;
const TRAIN_FILES: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];
const TEST_FILE: &str = "test_batch.bin";

/// Labelled images, as stored: bytes, planes of 32 x 32.
#[derive(Debug, Clone, Default)]
pub struct Split {
    images: Vec<u8>,
    labels: Vec<u8>,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of image `i`, `[3, 32, 32]`.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.images[i * IMAGE_BYTES..(i + 1) * IMAGE_BYTES]
    }

    /// The class of image `i`, below [`CLASSES`].
    pub fn label(&self, i: usize) -> usize {
        usize::from(self.labels[i])
    }

    /// The first `n` images (all, when there are fewer).
    pub fn head(&self, n: usize) -> Self {
        let n = n.min(self.len());
        Self { images: self.images[..n * IMAGE_BYTES].to_vec(), labels: self.labels[..n].to_vec() }
    }

    /// `n` noisy pictures whose colour tells their class: what tests learn.
    #[cfg(test)]
    pub(crate) fn synthetic(n: usize) -> Self {
        let mut rng = crate::augment::Rng::new(&[n as u64]);
        let mut split = Self::default();
        for i in 0..n {
            let label = i % CLASSES;
            split.labels.push(label as u8);
            for at in 0..IMAGE_BYTES {
                let shade = label * [1, 3, 7][at / (SIDE * SIDE)] % CLASSES;
                split.images.push((shade * 22 + rng.below(50)) as u8);
            }
        }
        split
    }

    /// Appends the records of one file.
    ///
    /// # Errors
    /// [`Error::Data`] when the length is not a whole number of records or a label is above 9.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
            return Err(Error::Data(format!(
                "{name} has {} bytes, which is not a whole number of {RECORD}-byte records: \
                 it is cut off or not CIFAR-10's binary version",
                bytes.len()
            )));
        }
        for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
            if usize::from(record[0]) >= CLASSES {
                return Err(Error::Data(format!(
                    "{name}, record {i}: label {} is not a CIFAR-10 class (0 to 9)",
                    record[0]
                )));
            }
            self.labels.push(record[0]);
            self.images.extend_from_slice(&record[1..]);
        }
        Ok(())
    }
}

/// The training and the test images.
#[derive(Debug, Clone)]
pub struct Cifar {
    /// 50,000 images in the official set.
    pub train: Split,
    /// 10,000 images in the official set.
    pub test: Split,
}

impl Cifar {
    /// Reads `cifar-10-binary.tar.gz`, or a folder with its files.
    ///
    /// # Errors
    /// [`Error::File`] when `path` cannot be read, [`Error::Data`] when a file is missing,
    /// cut off or holds a label above 9.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        if path.is_dir() {
            read_folder(path, &mut files)?;
        } else {
            read_archive(path, &mut files)?;
        }
        let find = |name: &str| files.iter().find(|f| f.0 == name).map(|f| f.1.as_slice());
        let missing = |name: &str| {
            Error::Data(format!(
                "{} holds no {name} (wanted: data_batch_1..5.bin, test_batch.bin)",
                path.display()
            ))
        };
        let (mut train, mut test) = (Split::default(), Split::default());
        for name in TRAIN_FILES {
            train.append(name, find(name).ok_or_else(|| missing(name))?)?;
        }
        test.append(TEST_FILE, find(TEST_FILE).ok_or_else(|| missing(TEST_FILE))?)?;
        Ok(Self { train, test })
    }
}

fn wanted(name: &str) -> bool {
    name == TEST_FILE || TRAIN_FILES.contains(&name)
}

fn read_folder(path: &Path, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    let inner = path.join("cifar-10-batches-bin");
    let folder = if inner.is_dir() { inner.as_path() } else { path };
    for name in TRAIN_FILES.iter().chain([&TEST_FILE]) {
        let file = folder.join(name);
        if file.exists() {
            let bytes = std::fs::read(&file).map_err(|e| Error::file(&file, e))?;
            files.push(((*name).to_owned(), bytes));
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
        let mut r = vec![fill; RECORD];
        r[0] = label;
        r
    }

    fn write_set(dir: &Path) {
        for (i, name) in TRAIN_FILES.iter().chain([&TEST_FILE]).enumerate() {
            std::fs::write(dir.join(name), record(i as u8, 10 * i as u8)).unwrap();
        }
    }

    #[test]
    fn reads_a_folder_in_order() {
        let dir = folder("order");
        write_set(&dir);
        let set = Cifar::read(&dir).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (5, 1));
        assert_eq!((0..5).map(|i| set.train.label(i)).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(set.train.image(3).iter().all(|&b| b == 30));
        assert_eq!(set.test.label(0), 5);
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
        for name in TRAIN_FILES.iter().chain([&TEST_FILE]) {
            tar.append_path_with_name(dir.join(name), format!("cifar-10-batches-bin/{name}"))
                .unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        assert_eq!(Cifar::read(&path).unwrap().train.len(), 5);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = Cifar::read(&path).unwrap_err().to_string();
        assert!(error.contains("not a whole .tar.gz"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn refuses_a_cut_file_a_wrong_label_and_a_missing_file() {
        let dir = folder("bad");
        write_set(&dir);
        std::fs::write(dir.join("data_batch_2.bin"), vec![0; RECORD - 1]).unwrap();
        let error = Cifar::read(&dir).unwrap_err().to_string();
        assert!(error.contains("data_batch_2.bin") && error.contains("cut off"), "{error}");
        std::fs::write(dir.join("data_batch_2.bin"), record(10, 0)).unwrap();
        let error = Cifar::read(&dir).unwrap_err().to_string();
        assert!(error.contains("record 0: label 10"), "{error}");
        std::fs::remove_file(dir.join("data_batch_2.bin")).unwrap();
        let error = Cifar::read(&dir).unwrap_err().to_string();
        assert!(error.contains("holds no data_batch_2.bin"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
