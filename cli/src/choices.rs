//! What a user chooses of a plan that is not the model's.

use clap::{Args, ValueEnum};
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
    /// What the client learns: all logits, logits rounded to 8 bits, or the class alone.
    #[arg(long, value_enum, default_value_t = What::Logits)]
    reveal: What,
    /// The same as `--reveal class`.
    #[arg(long, conflicts_with = "reveal")]
    class_only: bool,
    /// Softmax with a calibrated public maximum where possible.
    #[arg(long)]
    public_max: bool,
    /// Look activations up by row tables: fewer flights, many more offline bytes.
    #[arg(long)]
    row_tables: bool,
}

/// [`Reveal`] as a command line has it.
#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// All logits.
    Logits,
    /// All logits, rounded to 8 bits each.
    Rounded,
    /// The class alone.
    Class,
}

impl Choices {
    /// The model's private form with these choices.
    ///
    /// # Errors
    /// [`Error::Model`] when the calibration does not fit, [`Error::Config`] for a batch that no server would run.
    pub fn private(&self, model: &Model) -> Result<Private, Error> {
        check_batch(self.batch)?;
        Ok(Private::new(&model.arch, &model.calibration, self.batch, self.options())?)
    }

    fn options(&self) -> Options {
        Options {
            max: if self.public_max { MaxKind::Public } else { MaxKind::Coarse },
            reveal: match self.reveal {
                _ if self.class_only => Reveal::Class,
                What::Logits => Reveal::Logits,
                What::Rounded => Reveal::Rounded,
                What::Class => Reveal::Class,
            },
            tables: if self.row_tables { Tables::Rows } else { Tables::Pieces },
        }
    }
}
