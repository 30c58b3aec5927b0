//! Errors as a user sees them, and the exit code of each.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use sotto_net::printable;
use sotto_protocols::plan::Plan;

use crate::{refusal::Refusal, step};

/// Longest text of a peer's that is printed.
const LONGEST: usize = 400;

/// Exit code of a command that was stopped before it was done, as a shell has it after Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// What can stop a command. The exit code says who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration file or option is wrong.
    #[error("{0}")]
    Config(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A model, calibration or picture is wrong.
    #[error(transparent)]
    Model(#[from] sotto_models::Error),
    /// A folder that cannot be imported, or a text that its tokenizer cannot number.
    #[error(transparent)]
    Import(#[from] sotto_import::Error),
    /// A text that the model does not take.
    #[error("text {number}: {why}")]
    Text {
        /// Which, from 1 on.
        number: usize,
        /// Why not.
        why: String,
    },
    /// A connection failed.
    #[error("{}", .0.told(&|step| step::name(step, None)))]
    Net(#[from] sotto_net::Error),
    /// A batch or what a peer sent is not of use.
    #[error("{}", evaluation(.0, None))]
    Protocol(#[from] sotto_protocols::Error),
    /// An evaluation failed.
    #[error("{}", evaluation(error, Some(*levels)))]
    Online {
        /// Why.
        error: sotto_protocols::Error,
        /// Levels of its plan.
        levels: usize,
    },
    /// Entropy failed.
    #[error(transparent)]
    Crypto(#[from] sotto_crypto::Error),
    /// A peer refused, and says why.
    #[error("the {peer} refused: {}", printable(&why.to_string(), LONGEST))]
    Refused {
        /// Which peer.
        peer: String,
        /// Its reason, with the remedy.
        why: Refusal,
    },
    /// A peer's description of its model is not usable.
    #[error("the model of {peer} is not usable: {}", printable(why, LONGEST))]
    Card {
        /// Which peer.
        peer: String,
        /// What is wrong, in words that quote the description.
        why: String,
    },
    /// No correlations could be had in time.
    #[error("no correlated randomness within {waited} s: {why}; {remedy}")]
    Exhausted {
        /// Seconds waited.
        waited: u64,
        /// What is known of the cause.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// The dealer does what an honest one does not.
    #[error("the dealer cannot be trusted: {0}")]
    Distrust(String),
    /// Pictures or texts that could not be evaluated; the others were.
    #[error("{}", inputs(what, failed, *of))]
    Inputs {
        /// `images` or `texts`.
        what: &'static str,
        /// Why not, of each.
        failed: Vec<String>,
        /// How many were to be evaluated.
        of: usize,
    },
    /// Somebody asked it to stop before it was done.
    #[error("stopped before it was done")]
    Stopped,
    /// Nobody reads the output any more.
    #[error("nobody reads the output")]
    Closed,
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(String),
    /// A result or a count is not what it must be.
    #[error("check failed: {0}")]
    Check(String),
}

impl Error {
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
            Error::Exhausted { .. } | Error::Refused { why: Refusal::Exhausted(_), .. } => 5,
            Error::Net(_) | Error::Protocol(_) | Error::Online { .. } => 4,
            Error::Refused { .. } | Error::Card { .. } => 4,
            Error::Stopped => INTERRUPTED,
            Error::Closed => 141,
        }
    }

    /// Whether trying again at once cannot help.
    pub fn is_final(&self) -> bool {
        match self {
            Error::Net(sotto_net::Error::Identity { .. } | sotto_net::Error::Config(_)) => true,
            Error::Net(_) | Error::Protocol(_) | Error::Online { .. } => false,
            Error::Refused { why, .. } => why.is_final(),
            _ => true,
        }
    }

    /// What is wrong with a text of this number.
    pub fn text(number: usize, e: &Self) -> Self {
        Error::Text { number, why: e.to_string() }
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

fn evaluation(e: &sotto_protocols::Error, levels: Option<usize>) -> String {
    match e {
        sotto_protocols::Error::Link(e) => e.told(&|step| step::name(step, levels)),
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
