//! The card: everything public about a served model, from which each process traces the same plans.

use serde::{Deserialize, Serialize};
use sotto_models::{
    Calibration, Model, Private, calibration::hex, images::Framing, length::Length, model::Input,
    private::Options,
};

use crate::error::Error;

/// Largest batch of images or texts that a card may ask for.
pub const MAX_BATCH: usize = 64;

/// Most bytes of corrections that one evaluation may need.
pub const MAX_CORRECTIONS: u64 = 16 << 30;

/// Public description of a served model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The architecture file's text.
    pub arch: String,
    /// The number format, as the text of a calibration of the widest ranges that give it ([`Calibration::told`]).
    pub calibration: String,
    /// Images or texts in one evaluation.
    pub batch: usize,
    /// What the server chose.
    pub options: Options,
    /// How pictures of any size become the model's, where the model says so.
    pub framing: Option<Framing>,
    /// Of a model of texts: hash of the tokenizer and the public tables.
    pub lexicon: Option<[u8; 32]>,
}

impl Card {
    /// Traces the plan for pictures, or for texts of a length.
    ///
    /// # Errors
    /// [`Error::Model`] when a file is malformed, does not fit the other, or has no such texts; [`Error::Config`] when the batch
    /// is not in 1 to [`MAX_BATCH`], or texts and pictures are mistaken.
    pub fn trace(&self, length: Option<Length>) -> Result<Private, Error> {
        let model = Model::from_toml(&self.arch)?;
        let calibration = Calibration::from_toml(&self.calibration)?;
        if let (Some(framing), Some(pixels)) = (&self.framing, model.pixels()) {
            framing.validate(pixels)?;
        }
        let private = trace(&model, &calibration, self.batch, length, self.options)?;
        // A card comes from a peer: its plan must not ask for the impossible.
        let offline = private.plan.correction_bytes() as u64;
        if offline > MAX_CORRECTIONS {
            return Err(Error::Config(format!(
                "an evaluation would need {offline} bytes of corrections, {MAX_CORRECTIONS} are possible: \
                 a smaller batch or model, or a shorter text, is needed"
            )));
        }
        Ok(private)
    }
}

/// The plan of a batch of pictures, or of texts of one length.
///
/// # Errors
/// As [`Card::trace`].
pub fn trace(
    model: &Model,
    calibration: &Calibration,
    batch: usize,
    length: Option<Length>,
    options: Options,
) -> Result<Private, Error> {
    check_batch(batch)?;
    match (&model.input, length) {
        (Input::Pixels(_), None) => Ok(Private::new(model, calibration, batch, options)?),
        (Input::Words(_), Some(length)) => {
            Ok(Private::of_texts(model, calibration, (length, batch), options)?)
        }
        (Input::Words(_), None) => {
            let why = format!("`{}` takes texts, whose length in tokens is needed", model.name);
            Err(Error::Config(why))
        }
        (_, _) => Err(Error::Config(format!("`{}` takes pictures, no texts", model.name))),
    }
}

/// Whether so many images or texts can be evaluated at once.
///
/// # Errors
/// [`Error::Config`] when it is not in 1 to [`MAX_BATCH`].
pub fn check_batch(batch: usize) -> Result<(), Error> {
    match (1..=MAX_BATCH).contains(&batch) {
        true => Ok(()),
        false => {
            let why = format!("a batch of {batch} images or texts; 1 to {MAX_BATCH} are possible");
            Err(Error::Config(why))
        }
    }
}

/// What stands beside a batch's number in logs and errors: of whose model or server it is. Numbers begin anew with each plan, each epoch
/// of a dealer, and each server that makes batches with its clients.
pub fn of(whose: &str, plan: &[u8; 32], epoch: Option<&[u8; 16]>) -> String {
    let epoch = epoch.map_or_else(String::new, |epoch| format!(", epoch {}", hex(&epoch[..4])));
    format!("of {whose} (plan {}{epoch})", short(plan))
}

/// Short text of a plan's hash.
pub fn short(hash: &[u8; 32]) -> String {
    hex(&hash[..8])
}
