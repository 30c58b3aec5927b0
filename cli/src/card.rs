//! The card: everything public about a served model, from which each process traces the same plan.

use serde::{Deserialize, Serialize};
use sotto_models::{Arch, Calibration, Private, calibration::hex, private::Options};

use crate::{error::Error, model::Model};

/// Largest batch of images that a card may ask for.
pub const MAX_BATCH: usize = 64;

/// Most bytes of corrections that one evaluation may need.
pub const MAX_CORRECTIONS: u64 = 16 << 30;

/// Public description of a served model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The architecture file's text.
    pub arch: String,
    /// The calibration file's text.
    pub calibration: String,
    /// Images in one evaluation.
    pub batch: usize,
    /// What the server chose.
    pub options: Options,
}

impl Card {
    /// The card of a model. The hash of the weights stays here: it would confirm a guess.
    pub fn new(model: &Model, batch: usize, options: Options) -> Self {
        let calibration = Calibration { weights: String::new(), ..model.calibration.rounded() };
        let (arch, calibration) = (model.arch.to_toml(), calibration.to_toml());
        Self { arch, calibration, batch, options }
    }

    /// Traces the plan.
    ///
    /// # Errors
    /// [`Error::Model`] when a file is malformed or does not fit the other; [`Error::Config`] when the batch is
    /// not in 1 to [`MAX_BATCH`].
    pub fn trace(&self) -> Result<Private, Error> {
        check_batch(self.batch)?;
        let arch = Arch::from_toml(&self.arch)?;
        let calibration = Calibration::from_toml(&self.calibration)?;
        let private = Private::new(&arch, &calibration, self.batch, self.options)?;
        // A card comes from a peer: its plan must not ask for the impossible.
        let offline = private.plan.correction_bytes() as u64;
        if offline > MAX_CORRECTIONS {
            return Err(Error::Config(format!(
                "an evaluation would need {offline} bytes of corrections, {MAX_CORRECTIONS} are possible: \
                 a smaller batch or model is needed"
            )));
        }
        Ok(private)
    }
}

/// Whether so many images can be evaluated at once.
///
/// # Errors
/// [`Error::Config`] when it is not in 1 to [`MAX_BATCH`].
pub fn check_batch(batch: usize) -> Result<(), Error> {
    match (1..=MAX_BATCH).contains(&batch) {
        true => Ok(()),
        false => {
            let why = format!("a batch of {batch} images; 1 to {MAX_BATCH} are possible");
            Err(Error::Config(why))
        }
    }
}

/// Short text of a plan's hash.
pub fn short(hash: &[u8; 32]) -> String {
    hex(&hash[..8])
}
