//! CIFAR-10 and CIFAR-100 in their official binary formats: files of records, each a label and 3 x 32 x 32 pixel
//! bytes, in a folder or in a `.tar.gz`. CIFAR-100's records begin with a coarse label, which is skipped.
//!
//! Source: <https://www.cs.toronto.edu/~kriz/cifar.html>, "Binary version". Files are found by name, so that the
//! archive, its unpacked folder and the folder around it all work.

use std::io::Read;
use std::ops::ControlFlow;

use flate2::read::GzDecoder;

use crate::Error;

/// Side of a picture.
pub const SIDE: usize = 32;
/// Bytes of a picture: the red, green and blue planes, each row by row.
pub const PIXELS: usize = 3 * SIDE * SIDE;
/// Most bytes that are unpacked from one archive.
const MAX_UNPACKED: u64 = 1 << 30;

/// One of the two sets.
#[derive(Debug, PartialEq, Eq)]
pub struct Cifar {
    /// What people call it.
    pub name: &'static str,
    /// The folder in its archive.
    pub folder: &'static str,
    /// The files of the training split, 50,000 pictures.
    pub train: &'static [&'static str],
    /// The file of the test split, 10,000 pictures.
    pub test: &'static str,
    /// Number of classes.
    pub classes: u8,
    /// Bytes of label in front of a record's planes; the last one is the class.
    labels: usize,
}

/// CIFAR-10.
pub static TEN: Cifar = Cifar {
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
};

/// CIFAR-100, by its fine labels.
pub static HUNDRED: Cifar = Cifar {
    name: "CIFAR-100",
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    classes: 100,
    labels: 2,
};

/// Both sets.
pub static SETS: [&Cifar; 2] = [&TEN, &HUNDRED];

impl Cifar {
    /// The files of both splits.
    pub fn files(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.train.iter().copied().chain([self.test])
    }

    /// Reads at most `limit` records and gives class and planes of each to `each`.
    ///
    /// Cost: memory for one record.
    ///
    /// # Errors
    /// [`Error::Picture`] with the offset, for a record that is cut short, for a label that is no class and for a
    /// file without a record; and what `each` returns.
    pub fn records(
        &self,
        mut from: impl Read,
        file: &str,
        limit: usize,
        mut each: impl FnMut(u8, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (set, length) = (self.name, self.labels + PIXELS);
        let mut record = Vec::with_capacity(length);
        for count in 0..limit {
            let offset = (count * length) as u64;
            record.clear();
            let read = from.by_ref().take(length as u64).read_to_end(&mut record);
            read.map_err(|e| {
                let why = format!(
                    "cannot be read after offset {offset} ({e}); if its archive was cut off, download it again"
                );
                Error::picture(file, why)
            })?;
            if record.is_empty() && count > 0 {
                return Ok(());
            }
            if record.len() < length {
                let (got, end) = (record.len(), offset + record.len() as u64);
                let why = format!(
                    "ends at offset {end}, inside the {set} record that starts at offset {offset} \
                     ({got} of {length} bytes)"
                );
                return Err(Error::picture(file, why));
            }
            let label = record[self.labels - 1];
            if label >= self.classes {
                let at = offset + self.labels as u64 - 1;
                let most = self.classes - 1;
                let why = format!("label {label} at offset {at}; {set} has labels 0 to {most}");
                return Err(Error::picture(file, why));
            }
            each(label, &record[self.labels..])?;
        }
        Ok(())
    }
}

/// Unpacks a `.tar.gz` and gives each file of a set, with its name, to `each`, in the archive's order, until that
/// breaks off.
///
/// Cost: memory for what `each` keeps; at most 1 GiB is unpacked.
///
/// # Errors
/// [`Error::Picture`] for an archive that is damaged or cut short; and what `each` returns.
pub fn members(
    from: impl Read,
    file: &str,
    mut each: impl FnMut(&'static Cifar, &'static str, &mut dyn Read) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    let damaged = |e: std::io::Error| {
        Error::picture(file, format!("not a whole .tar.gz ({e}): download it again"))
    };
    let mut archive = tar::Archive::new(GzDecoder::new(from).take(MAX_UNPACKED));
    // Raw entries: extended headers, which can be of any length, are then skipped, not read.
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes();
        let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let mut known = SETS.iter().flat_map(|set| set.files().map(|name| (*set, name)));
        let found = known.find(|(_, name)| name.as_bytes() == last);
        if let Some((set, name)) = found
            && each(set, name, &mut entry)?.is_break()
        {
            break;
        }
    }
    Ok(())
}
