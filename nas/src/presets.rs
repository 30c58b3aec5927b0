//! Architectures by name, and from files.

use std::path::Path;

use sotto_models::Arch;

use crate::Error;
use crate::data::DataSet;

/// The names that `--arch` knows.
pub const NAMES: [&str; 5] =
    ["vit_7_4_32", "vit_9_12_64", "vit_7_4_128", "vit_6_5_160", "vit_5_4_96"];

/// A preset, or the architecture file at that path.
///
/// # Errors
/// [`Error::File`] when it is neither, [`Error::Arch`] when the file is no architecture.
pub fn find(name: &str) -> Result<Arch, Error> {
    let sized = |layers, heads, dim: usize| {
        let plain = Arch::vit(layers, heads, dim, 2 * dim, 32, 4, 10);
        let cifar = Arch::vit_cifar();
        Arch {
            name: name.to_owned(),
            mean: cifar.mean,
            std: cifar.std,
            labels: cifar.labels,
            ..plain
        }
    };
    let arch = match name {
        "vit_7_4_32" => Arch::vit_cifar(),
        "vit_9_12_64" => Arch { name: name.to_owned(), ..Arch::vit_tiny() },
        "vit_7_4_128" => sized(7, 4, 128),
        "vit_5_4_96" => sized(5, 4, 96),
        "vit_6_5_160" => sized(6, 5, 160),
        path => {
            let text = std::fs::read_to_string(path).map_err(|e| {
                if Path::new(path).extension().is_some() {
                    Error::file(path, e)
                } else {
                    Error::Arch(format!(
                        "no preset {path:?}; --arch knows {}, or an arch.toml",
                        NAMES.join(", ")
                    ))
                }
            })?;
            Arch::from_toml(&text).map_err(|e| Error::Arch(e.to_string()))?
        }
    };
    Ok(arch)
}

/// The architecture as it is for `data`: a preset gets the classes of the data set, and
/// CIFAR-100 its own normalisation.
///
/// # Errors
/// [`Error::Arch`] when the images have another size, or a file's architecture another number of
/// classes.
pub fn fit(arch: Arch, data: &DataSet) -> Result<Arch, Error> {
    let side = data.train.side();
    let preset = NAMES.contains(&arch.name.as_str());
    let arch = match preset && arch.classes != data.classes && arch.image == side {
        false => arch,
        true => Arch {
            classes: data.classes,
            labels: Vec::new(),
            mean: [0.5071, 0.4865, 0.4409],
            std: [0.2673, 0.2564, 0.2762],
            ..arch
        },
    };
    if arch.image != side || arch.classes != data.classes {
        return Err(Error::Arch(format!(
            "{} is for {} x {} pictures and {} classes; {} has {side} x {side} and {}",
            arch.name, arch.image, arch.image, arch.classes, data.name, data.classes
        )));
    }
    Ok(arch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn every_preset_is_valid_and_an_unknown_one_lists_them() {
        for name in NAMES {
            let arch = find(name).unwrap();
            arch.validate().unwrap();
            assert_eq!(arch.name, name);
        }
        assert_eq!(find("vit_7_4_128").unwrap().parameters(), 940_938);
        let of = |classes, side| DataSet {
            name: "set",
            classes,
            train: Split::new(side),
            test: Split::new(side),
        };
        let hundred = fit(find("vit_7_4_32").unwrap(), &of(100, 32)).unwrap();
        assert_eq!((hundred.classes, hundred.labels.len()), (100, 0));
        assert_eq!(fit(find("vit_9_12_64").unwrap(), &of(200, 64)).unwrap().tokens(), 257);
        let error = fit(find("vit_9_12_64").unwrap(), &of(10, 32)).unwrap_err().to_string();
        assert!(error.contains("32 x 32 and 10"), "{error}");
        let error = find("vit_9").unwrap_err().to_string();
        assert!(error.contains("vit_7_4_128"), "{error}");
    }
}
