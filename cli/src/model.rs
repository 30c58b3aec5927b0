//! Models on disk, by preset name, and the one that is embedded for the demo.

use std::{fmt::Display, fs, path::Path};

use sotto_import::tokenizer;
use sotto_models::{
    Arch, Calibration, Model as Description, Weights,
    arch::Attention,
    calibration::hex,
    demo, files,
    images::{FRAMING, Fit, Framing, normalise, read_cifar},
    model::{Input, Pixels},
    private::Options,
};

pub use sotto_models::demo::IMAGES as DEMO_IMAGES;

use crate::{card::Card, error::Error, lexicon::Lexicon};

/// The architecture of a preset's name.
fn preset(name: &Path) -> Option<Arch> {
    let name = name.to_str()?;
    let (base, kind) = Attention::ALL
        .into_iter()
        .find_map(|kind| Some((name.strip_suffix(kind.name())?.strip_suffix('_')?, kind)))
        .unwrap_or((name, Attention::Softmax));
    let arch = match base {
        "vit_cifar" => Arch::vit_cifar(),
        "vit_tiny" => Arch::vit_tiny(),
        _ => return None,
    };
    Some(arch.with_attention(kind))
}

/// A model's files; the last two where it has them.
const FILES: [&str; 5] =
    ["arch.toml", "weights.safetensors", "calibration.toml", tokenizer::FILE, FRAMING];

/// A model with its weights. No `Debug`: the weights are the server's secret.
pub struct Model {
    /// The architecture.
    pub arch: Description,
    /// The parameters.
    pub weights: Weights,
    /// The ranges.
    pub calibration: Calibration,
    /// How pictures of any size become the model's, where the model says so.
    pub framing: Option<Framing>,
    /// Of a model of texts: tokenizer and public tables.
    pub lexicon: Option<Lexicon>,
}

impl Model {
    /// The embedded model.
    ///
    /// # Errors
    /// [`Error::Model`] when the embedded files do not fit each other: a broken build.
    pub fn demo() -> Result<Self, Error> {
        let arch = Description::from_toml(demo::ARCH)?;
        let weights = Weights::from_bytes(&arch, demo::WEIGHTS)?;
        let calibration = Calibration::from_toml(demo::CALIBRATION)?;
        Self { arch, weights, calibration, framing: None, lexicon: None }.checked()
    }

    /// A model by name: `demo`, a preset with random weights, or a folder.
    ///
    /// Presets are `vit_cifar` and `vit_tiny`, with softmax attention everywhere, or `_relu` or `_linear` behind the name.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Model`] for a folder that is not a calibrated model.
    pub fn find(name: &Path) -> Result<Self, Error> {
        match (name.to_str(), preset(name)) {
            _ if name.exists() => Self::load(name),
            (Some("demo"), _) => Self::demo(),
            (_, Some(arch)) => Ok(Self::random(arch)),
            _ => Self::load(name),
        }
    }

    /// Whether `name` is one of a model that needs no folder.
    pub fn is_named(name: &Path) -> bool {
        name.to_str() == Some("demo") || preset(name).is_some()
    }

    /// Copies a model's files, and nothing else of its folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn copy(folder: &Path, to: &Path) -> Result<(), Error> {
        fs::create_dir_all(to).map_err(Error::io(to))?;
        for file in FILES.map(|name| (folder.join(name), to.join(name))) {
            if file.0.exists() {
                fs::copy(&file.0, &file.1).map_err(Error::io(&file.1))?;
            }
        }
        Ok(())
    }

    fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("arch.toml");
        if !path.exists() {
            return Err(Error::Config(format!(
                "no model `{}`: demo, vit_cifar, vit_tiny (also with _relu or _linear), or a folder with arch.toml, \
                 weights.safetensors and calibration.toml",
                folder.display()
            )));
        }
        let arch = Description::from_toml(&files::text(&path)?)?;
        let weights = Weights::load(&folder.join("weights.safetensors"), &arch)?;
        let path = folder.join("calibration.toml");
        if !path.exists() {
            return Err(Error::Config(format!(
                "{} is missing: run `sotto calibrate {} {}` first",
                path.display(),
                folder.display(),
                if arch.pixels().is_some() { "--images FILES" } else { "--text FILE" },
            )));
        }
        let calibration = Calibration::from_toml(&files::text(&path)?)?;
        let (framing, lexicon) = match &arch.input {
            Input::Pixels(pixels) => (Framing::load(folder, pixels)?, None),
            _ => (None, Some(Lexicon::of(folder, &arch, &weights)?)),
        };
        Self { arch, weights, calibration, framing, lexicon }.checked()
    }

    /// Random weights of the peers' benchmark scale, calibrated on random images and on the embedded ones: each goes
    /// where the others do not.
    pub fn random(arch: Arch) -> Self {
        let weights = Weights::random(&arch, 7);
        let embedded = read_cifar(DEMO_IMAGES, "images.bin", &arch, Fit::Resize, usize::MAX);
        let embedded = embedded.expect("the embedded images are CIFAR-10 records");
        let mut images = random_images(&arch.pixels(), 8, 1);
        images.extend(embedded.iter().map(|picture| normalise(&arch, picture)));
        let calibration = Calibration::record(&arch, &weights, &images, |_| ());
        Self { arch: (&arch).into(), weights, calibration, framing: None, lexicon: None }
    }

    /// What to do with a picture of another size: as the model's preprocessor says, otherwise as `resize` does.
    pub fn fit(&self, resize: bool) -> Fit {
        fit(self.framing, resize)
    }

    /// What others are told of it. What its calibration says beside the format stays here, and so does the hash of the weights,
    /// which would confirm a guess.
    pub fn card(&self, batch: usize, options: Options) -> Card {
        let calibration = self.calibration.told(&self.arch, options);
        let (arch, calibration) = (self.arch.to_toml(), calibration.to_toml());
        let lexicon = self.lexicon.as_ref().map(|l| l.hash());
        Card { arch, calibration, batch, options, framing: self.framing, lexicon }
    }

    fn checked(self) -> Result<Self, Error> {
        recorded_with(&self.calibration, &self.weights, "calibration.toml")?;
        Ok(self)
    }
}

/// What to do with a picture of another size.
pub fn fit(framing: Option<Framing>, resize: bool) -> Fit {
    match (framing, resize) {
        (Some(framing), _) => Fit::Framed(framing),
        (None, true) => Fit::Resize,
        (None, false) => Fit::Exact,
    }
}

/// Normalised images with standard normal pixels, as the peers' benchmark uses.
pub fn random_images(pixels: &Pixels, count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut stream = sotto_crypto::Seed::from_bytes([1; 32]).stream(seed);
    let size = pixels.numbers();
    let mut normal = || {
        let (u, v) = (1.0 - stream.unit(), stream.unit());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    };
    (0..count).map(|_| (0..size).map(|_| normal()).collect()).collect()
}

/// Refuses a calibration, of this file, that is of other weights.
///
/// # Errors
/// [`Error::Config`].
pub fn recorded_with(
    calibration: &Calibration,
    weights: &Weights,
    file: impl Display,
) -> Result<(), Error> {
    if calibration.weights == hex(&weights.hash()) {
        return Ok(());
    }
    let why = "was recorded with other weights: run `sotto calibrate` again";
    Err(Error::Config(format!("{file} {why}")))
}
