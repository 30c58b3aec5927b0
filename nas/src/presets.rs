//! Architectures by name, and from files.

use std::path::Path;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use sotto_models::Arch;

use crate::Error;
use crate::blend::Strength;
use crate::data::DataSet;
use crate::recipe::{Epochs, Recipe};

/// The names that `--arch` knows.
pub const NAMES: [&str; 6] =
    ["vit_7_4_32", "vit_9_12_64", "vit_7_4_128", "vit_6_5_160", "vit_5_4_96", "vit_4_4_96"];

/// Sizes and recipe of a model in MPCViT's paper (Zeng et al., ICCV 2023) and its release.
///
/// RandAugment, mixup, CutMix and erasing here end for the last 15 % of a run. Each picture is either added to another or gets a part of one, half of them each, as timm's switch
/// does by batches.
#[derive(Debug, PartialEq)]
pub struct Preset {
    /// What `--preset` calls it.
    pub name: &'static str,
    /// Its architecture's name.
    pub arch: &'static str,
    /// The data set that it is for.
    pub data: &'static str,
}

/// Passes of a training, and of a search, in MPCViT's release.
const TRAINED: usize = 600;
const SEARCHED: usize = 300;

/// What `--preset` knows.
pub const PRESETS: [Preset; 3] = [
    Preset { name: "mpcvit-cifar10", arch: "vit_7_4_32", data: "CIFAR-10" },
    Preset { name: "mpcvit-cifar100", arch: "vit_7_4_32", data: "CIFAR-100" },
    Preset { name: "mpcvit-tiny", arch: "vit_9_12_64", data: "Tiny-ImageNet" },
];

impl Preset {
    /// Reads a preset's name.
    pub(crate) fn parser() -> impl TypedValueParser<Value = &'static Self> {
        let names = PossibleValuesParser::new(PRESETS.each_ref().map(|p| p.name));
        names.map(|name| {
            PRESETS.iter().find(|p| p.name == name).expect("the parser takes their names alone")
        })
    }

    /// Puts the paper's recipe into `recipe`: AdamW, cosine, batches of 128 that a GPU takes in one piece.
    pub fn apply(&self, recipe: &mut Recipe) {
        recipe.epochs = TRAINED;
        (recipe.lr, recipe.decay, recipe.smoothing, recipe.z) = (5.5e-4, 0.06, 0.1, 0.0);
        (recipe.batch, recipe.micro) = (128, 128);
        (recipe.muon, recipe.cosine) = (false, true);
        recipe.strength = Strength { mixup: 0.5, cutmix: 0.5, erase: 0.25, distort: 1.0 };
    }

    /// The passes of a search's jobs.
    pub fn search_epochs(&self) -> Epochs {
        Epochs { teacher: TRAINED, supernet: SEARCHED, search: SEARCHED, train: TRAINED }
    }

    /// Refuses another data set than the preset's.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self, data: &DataSet) -> Result<(), Error> {
        if self.data == data.name {
            return Ok(());
        }
        let fitting = PRESETS.iter().find(|p| p.data == data.name).map_or("--arch", |p| p.name);
        Err(Error::Usage(format!(
            "--preset {} is for {}, --data is {}: take {fitting}",
            self.name, self.data, data.name
        )))
    }
}

/// The architecture of that name, or in the file at that path.
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
        "vit_4_4_96" => sized(4, 4, 96),
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
    use crate::config::Config;
    use crate::data::Split;
    use crate::search::settings::Settings;

    #[test]
    fn the_papers_recipe_is_for_its_data_and_gives_way_to_options() {
        let parse = |line: &str| Config::parse(line.split(' ').map(String::from));
        let config =
            parse("--data d --batch 64 --preset mpcvit-tiny --out o --optimiser muon").unwrap();
        let recipe = &config.recipe;
        assert_eq!((config.arch.as_str(), recipe.epochs, recipe.batch), ("vit_9_12_64", 600, 64));
        assert!(recipe.cosine && recipe.muon && recipe.lr == 5.5e-4);
        let data = DataSet {
            name: "CIFAR-100",
            classes: 100,
            train: Split::new(32),
            held: Split::new(32),
            test: Split::new(32),
        };
        let said = config.preset.unwrap().check(&data).unwrap_err().to_string();
        assert!(said.contains("take mpcvit-cifar100"), "{said}");
        let said = parse("--data d --out o --preset mpcvit").unwrap_err().to_string();
        assert!(said.contains("mpcvit-cifar10, mpcvit-cifar100, mpcvit-tiny"), "{said}");
        let words = "--data d --out o --preset mpcvit-cifar10 --epochs 9".split(' ');
        let (settings, config) = Settings::parse(words.map(String::from)).unwrap();
        let e = &settings.epochs;
        assert_eq!((e.teacher, e.supernet, e.search, e.train), (600, 300, 300, 9));
        assert_eq!((config.arch.as_str(), settings.recipe.muon), ("vit_7_4_32", false));
    }

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
            held: Split::new(side),
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
