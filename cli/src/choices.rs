//! What a user chooses of a plan that is not the model's.

use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use sotto_models::{
    Private,
    format::MaxKind,
    length::Length,
    private::{Lengths, Options, Reveal, Tables},
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
    let softspoken = PossibleValue::new("softspoken")
        .help("As `peer`, without learning parity with noise as an assumption: more bytes");
    let values = PossibleValuesParser::new([dealer, peer, softspoken]);
    values.map(|name| match &name[..] {
        "peer" => Source::Peer,
        "softspoken" => Source::SoftSpoken,
        _ => Source::Dealer,
    })
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
    /// Of a model of texts: hidden lengths, each padded to its bucket of 16, 32, 64, .. words (`length = "hidden"`).
    #[arg(long)]
    hidden_length: bool,
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

/// What a flag says of texts' lengths.
pub fn lengths(hidden: bool) -> Lengths {
    if hidden { Lengths::Hidden } else { Lengths::Public }
}

impl Choices {
    /// The model's private forms with these choices: one for pictures, of texts one for each length.
    ///
    /// # Errors
    /// [`Error::Model`] when the calibration does not fit or the model has no such texts, [`Error::Config`] for a batch that no
    /// server would run, and for lengths where the model takes pictures or none where it takes texts.
    pub fn private(&self, model: &Model) -> Result<Vec<(Option<Length>, Private)>, Error> {
        check_batch(self.batch)?;
        let options = self.options();
        let lengths: Vec<usize> = self.tokens.iter().chain(&self.lengths).copied().collect();
        let lengths: Vec<Option<Length>> = match (model.arch.pixels(), lengths.is_empty()) {
            (None, true) => {
                let why = format!(
                    "`{}` takes texts: give their length as --tokens N, or several as --lengths 32,128",
                    model.arch.name
                );
                return Err(Error::Config(why));
            }
            (_, true) => vec![None],
            (Some(_), false) => {
                lengths.into_iter().map(|n| Some(Length::Public(n as u32))).collect()
            }
            (None, false) => {
                let length = |n| Ok(Some(options.lengths.of(n, model.arch.tokens())?));
                lengths.into_iter().map(length).collect::<Result<_, Error>>()?
            }
        };
        let trace = |length| {
            let traced = card::trace(&model.arch, &model.calibration, self.batch, length, options);
            Ok((length, traced?))
        };
        lengths.into_iter().map(trace).collect()
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
            lengths: lengths(self.hidden_length),
        }
    }
}
