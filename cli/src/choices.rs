//! What a user chooses of a plan that is not the model's.

use clap::Args;
use sotto_models::{
    Private,
    format::MaxKind,
    private::{Options, Reveal, Tables},
};

use crate::{card::check_batch, error::Error, model::Model};

/// Choices as a command line has them.
#[derive(Args)]
pub struct Choices {
    /// Images in one evaluation.
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// The client learns the class alone.
    #[arg(long)]
    class_only: bool,
    /// Softmax with a calibrated public maximum where possible.
    #[arg(long)]
    public_max: bool,
    /// Look activations up by row tables: fewer flights, many more offline bytes.
    #[arg(long)]
    row_tables: bool,
}

impl Choices {
    /// The model's private form with these choices.
    ///
    /// # Errors
    /// [`Error::Model`] when the calibration does not fit, [`Error::Config`] for a batch that no server would run.
    pub fn private(&self, model: &Model) -> Result<Private, Error> {
        check_batch(self.batch)?;
        let options = options(self.public_max, self.class_only, self.row_tables);
        Ok(Private::new(&model.arch, &model.calibration, self.batch, options)?)
    }
}

/// The trace's options.
pub(crate) fn options(public_max: bool, class_only: bool, row_tables: bool) -> Options {
    Options {
        max: if public_max { MaxKind::Public } else { MaxKind::Coarse },
        reveal: if class_only { Reveal::Class } else { Reveal::Logits },
        tables: if row_tables { Tables::Rows } else { Tables::Pieces },
    }
}
