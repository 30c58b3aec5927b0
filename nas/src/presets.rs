//! Architectures by name, and from files.

use std::path::Path;

use sotto_models::Arch;

use crate::Error;
use crate::data::{CLASSES, SIDE};

/// The names that `--arch` knows.
pub const NAMES: [&str; 3] = ["vit_7_4_32", "vit_7_4_128", "vit_6_5_160"];

/// A preset, or the architecture file at that path.
///
/// # Errors
/// [`Error::File`] when it is neither, [`Error::Arch`] when the file is no architecture for
/// CIFAR-10.
pub fn find(name: &str) -> Result<Arch, Error> {
    let sized = |layers, heads, dim: usize| {
        let plain = Arch::vit(layers, heads, dim, 2 * dim, SIDE, 4, CLASSES);
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
        "vit_7_4_128" => sized(7, 4, 128),
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
    if arch.image != SIDE || arch.classes != CLASSES {
        return Err(Error::Arch(format!(
            "{} is for {} x {} pictures and {} classes; CIFAR-10 has 32 x 32 and 10",
            arch.name, arch.image, arch.image, arch.classes
        )));
    }
    Ok(arch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_an_unknown_one_lists_them() {
        for name in NAMES {
            let arch = find(name).unwrap();
            arch.validate().unwrap();
            assert_eq!(arch.name, name);
        }
        assert_eq!(find("vit_7_4_128").unwrap().parameters(), 940_938);
        let error = find("vit_9").unwrap_err().to_string();
        assert!(error.contains("vit_7_4_128"), "{error}");
    }
}
