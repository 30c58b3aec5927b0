//! What a user chooses of a plan that is not the model's.

use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use sotto_models::{
    Private,
    format::MaxKind,
    private::{Options, Reveal, Tables},
};

use crate::{
    card::{self, check_batch},
    error::Error,
    model::Model,
    source::Source,
};

/// Reads where correlated randomness comes from, in a configuration's words.
pub fn source() -> impl TypedValueParser<Value = Source> {
    let dealer = PossibleValue::new("dealer")
        .help("A third party deals it, and must not collude with either of the two");
    let peer = PossibleValue::new("peer").help("Server and client make it by themselves");
    let values = PossibleValuesParser::new([dealer, peer]);
    values.map(|name| if name == "peer" { Source::Peer } else { Source::Dealer })
}

/// Choices as a command line has them.
#[derive(Args)]
pub struct Choices {
    /// Images, or texts of one length, in one evaluation.
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Of a model of texts: words of each text, special ones included.
    #[arg(long, value_name = "N", conflicts_with = "lengths")]
    tokens: Option<usize>,
    /// Of a model of texts: several numbers of words, each by itself.
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    lengths: Vec<usize>,
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
    /// The model's private forms with these choices: one for pictures, of texts one for each length.
    ///
    /// # Errors
    /// [`Error::Model`] when the calibration does not fit or the model has no such texts, [`Error::Config`] for a batch that no
    /// server would run, and for lengths where the model takes pictures or none where it takes texts.
    pub fn private(&self, model: &Model) -> Result<Vec<(Option<usize>, Private)>, Error> {
        check_batch(self.batch)?;
        let lengths: Vec<usize> = self.tokens.iter().chain(&self.lengths).copied().collect();
        let rows: Vec<Option<usize>> = match (model.arch.pixels(), lengths.is_empty()) {
            (None, true) => {
                let why = format!(
                    "`{}` takes texts: give their length as --tokens N, or several as --lengths 32,128",
                    model.arch.name
                );
                return Err(Error::Config(why));
            }
            (_, true) => vec![None],
            (_, false) => lengths.into_iter().map(Some).collect(),
        };
        let trace = |rows| {
            let options = self.options();
            let traced = card::trace(&model.arch, &model.calibration, self.batch, rows, options);
            Ok((rows, traced?))
        };
        rows.into_iter().map(trace).collect()
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
