//! Errors as a user sees them, and the exit code of each.

use std::{
    fmt::{self, Display, Formatter},
    path::{Path, PathBuf},
};

use sotto_net::printable;
use sotto_protocols::plan::Plan;

use crate::{
    refusal::{Refusal, give},
    step,
};

/// Longest text of a peer's that is printed.
const LONGEST: usize = 400;

/// Exit code of a command that was stopped before it was done, as a shell has it after Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// What can stop a command. The exit code says who must act; what is printed has the remedy behind the cause, in one line
/// ([`Error::cause`], [`Error::remedy`]).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration file or option is wrong.
    Config(String),
    /// A file cannot be read or written.
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A model, calibration or picture is wrong.
    Model(#[from] sotto_models::Error),
    /// A folder that cannot be imported, or a text that its tokenizer cannot number.
    Import(#[from] sotto_import::Error),
    /// A text that the model does not take.
    Text {
        /// Which, from 1 on.
        number: usize,
        /// Why not.
        why: String,
    },
    /// Pictures for a model of texts, or texts for one of pictures.
    OtherInput {
        /// The model.
        model: String,
        /// What it takes.
        takes: &'static str,
    },
    /// Something is wrong with one of several.
    Of {
        /// Which one.
        what: String,
        /// What is wrong.
        error: Box<Error>,
    },
    /// A connection failed.
    Net(#[from] sotto_net::Error),
    /// A batch or what a peer sent is not of use.
    Protocol(#[from] sotto_protocols::Error),
    /// An evaluation failed.
    Online {
        /// Why.
        error: sotto_protocols::Error,
        /// Levels of its plan.
        levels: usize,
    },
    /// Entropy failed.
    Crypto(#[from] sotto_crypto::Error),
    /// A peer refused, and says why.
    Refused {
        /// Which peer.
        peer: String,
        /// Its reason, with the remedy.
        why: Refusal,
    },
    /// A peer's description of its model is not usable.
    Card {
        /// Which peer.
        peer: String,
        /// What is wrong, in words that quote the description.
        why: String,
    },
    /// No correlations could be had in time.
    Exhausted {
        /// Seconds waited.
        waited: u64,
        /// What is known of the cause.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// The dealer does what an honest one does not.
    Distrust(String),
    /// Pictures or texts that could not be evaluated; the others were.
    Inputs {
        /// `images` or `texts`.
        what: &'static str,
        /// Why not, of each.
        failed: Vec<String>,
        /// How many were to be evaluated.
        of: usize,
    },
    /// Somebody asked it to stop before it was done.
    Stopped,
    /// Nobody reads the output any more.
    Closed,
    /// The output cannot be written.
    Output(String),
    /// A result or a count is not what it must be.
    Check(String),
}

impl Error {
    /// What went wrong, with the party and the step where there are some.
    pub fn cause(&self) -> String {
        match self {
            Error::Config(why) => why.clone(),
            Error::Io { path, source } => format!("{}: {source}", path.display()),
            Error::Model(e) => e.to_string(),
            Error::Import(e) => e.to_string(),
            Error::Crypto(e) => e.to_string(),
            Error::Text { number, why } => format!("text {number}: {why}"),
            Error::OtherInput { model, takes } => {
                format!("`{model}` takes {takes}, and was given something else")
            }
            Error::Of { what, error } => format!("{what}: {}", error.cause()),
            Error::Net(e) => e.cause(&|step| step::name(step, None)),
            Error::Protocol(e) => evaluation(e, None),
            Error::Online { error, levels } => evaluation(error, Some(*levels)),
            Error::Refused { peer, why } => {
                format!("the {peer} refused: {}", printable(&why.to_string(), LONGEST))
            }
            Error::Card { peer, why } => {
                format!("the model of {peer} is not usable: {}", printable(why, LONGEST))
            }
            Error::Exhausted { waited, why, .. } => {
                format!("no correlated randomness within {waited} s: {why}")
            }
            Error::Distrust(why) => format!("the dealer cannot be trusted: {why}"),
            Error::Inputs { what, failed, of } => inputs(what, failed, *of),
            Error::Stopped => "stopped before it was done".into(),
            Error::Closed => "nobody reads the output".into(),
            Error::Output(why) => format!("the output cannot be written: {why}"),
            Error::Check(why) => format!("check failed: {why}"),
        }
    }

    /// What to do about it. Where a file or an option is wrong, the cause says what would be right.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Error::Net(e)
            | Error::Protocol(sotto_protocols::Error::Link(e))
            | Error::Online { error: sotto_protocols::Error::Link(e), .. } => {
                e.remedy().map(str::to_owned)
            }
            Error::Of { error, .. } => error.remedy(),
            Error::Refused { why, .. } => why.remedy(),
            Error::Exhausted { remedy, .. } => Some(remedy.clone()),
            Error::OtherInput { takes, .. } => Some(give(takes)),
            _ => None,
        }
    }

    /// The process's exit code: 2 usage or configuration, 3 input, 4 network or peer, 5 correlations, 1 a
    /// failed check; 130 stopped by a signal, 141 nobody reads the output, as shells have them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Check(_) | Error::Distrust(_) | Error::Crypto(_) => 1,
            Error::Config(_) | Error::Io { .. } | Error::Output(_) => 2,
            // The plan is chosen by whoever asks for it.
            Error::Protocol(sotto_protocols::Error::DealerOnly(_)) => 2,
            Error::Net(sotto_net::Error::Config(_) | sotto_net::Error::Io { .. }) => 2,
            Error::Import(sotto_import::Error::Io { .. }) => 2,
            Error::Model(sotto_models::Error::Io { .. }) => 2,
            Error::Model(_) | Error::Import(_) | Error::Text { .. } | Error::Inputs { .. } => 3,
            Error::OtherInput { .. } => 3,
            Error::Refused { why: Refusal::OtherInput(_), .. } => 3,
            Error::Exhausted { .. } | Error::Refused { why: Refusal::Exhausted(_), .. } => 5,
            Error::Net(_) | Error::Protocol(_) | Error::Online { .. } => 4,
            Error::Refused { .. } | Error::Card { .. } => 4,
            Error::Of { error, .. } => error.exit_code(),
            Error::Stopped => INTERRUPTED,
            Error::Closed => 141,
        }
    }

    /// Whether trying again at once cannot help.
    pub fn is_final(&self) -> bool {
        match self {
            Error::Net(sotto_net::Error::Identity { .. } | sotto_net::Error::Config(_)) => true,
            Error::Net(_) | Error::Protocol(_) | Error::Online { .. } => false,
            Error::Of { error, .. } => error.is_final(),
            Error::Refused { why, .. } => why.is_final(),
            _ => true,
        }
    }

    /// What is wrong with a text of this number.
    pub fn text(number: usize, e: &Self) -> Self {
        Error::Text { number, why: e.to_string() }
    }

    /// The closure for `map_err` where one of several is to be named.
    pub fn of(what: impl Display) -> impl FnOnce(Self) -> Self {
        move |error| Error::Of { what: what.to_string(), error: Box::new(error) }
    }

    /// What somebody chose cannot be used, for the reason that is given.
    pub fn unusable(why: impl Display) -> Self {
        Error::Config(why.to_string())
    }

    /// The closure for `map_err` at an evaluation of a plan.
    pub fn online(plan: &Plan) -> impl FnOnce(sotto_protocols::Error) -> Self {
        let levels = plan.levels.len();
        move |error| Error::Online { error, levels }
    }

    /// The closure for `map_err` at each use of a file.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Error::Io { path, source }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

/// What went wrong in an evaluation; of a link its cause alone.
fn evaluation(e: &sotto_protocols::Error, levels: Option<usize>) -> String {
    match e {
        sotto_protocols::Error::Link(e) => e.cause(&|step| step::name(step, levels)),
        e => e.to_string(),
    }
}

fn inputs(what: &str, failed: &[String], of: usize) -> String {
    match failed {
        [only] if of == 1 => only.clone(),
        [first, ..] => format!("{} of {of} {what} were not evaluated: {first}", failed.len()),
        [] => format!("none of the {what} was evaluated"),
    }
}
