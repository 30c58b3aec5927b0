//! The card: everything public about a served model, from which each process traces the same plan.

use serde::{Deserialize, Serialize};
use sotto_models::{Arch, Calibration, Private, calibration::hex};

use crate::{choices::options, error::Error, model::Model};

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
    /// Softmax with a calibrated public maximum where possible.
    pub public_max: bool,
    /// The client learns the class alone.
    pub class_only: bool,
    /// Activations by row tables: fewer flights, more offline bytes.
    pub row_tables: bool,
}

impl Card {
    /// The card of a model with the plainest choices. The hash of the weights stays here: it would confirm a guess.
    pub fn new(model: &Model, batch: usize) -> Self {
        let calibration = Calibration { weights: String::new(), ..model.calibration.clone() };
        Self {
            arch: model.arch.to_toml(),
            calibration: calibration.to_toml(),
            batch,
            public_max: false,
            class_only: false,
            row_tables: false,
        }
    }

    /// With these choices.
    pub fn with_choices(self, public_max: bool, class_only: bool, row_tables: bool) -> Self {
        Self { public_max, class_only, row_tables, ..self }
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
        let options = options(self.public_max, self.class_only, self.row_tables);
        let private = Private::new(&arch, &calibration, self.batch, options)?;
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
