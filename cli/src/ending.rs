//! How a command ends that failed: an exit code, an object for programs, a line for people.
//!
//! With `--json` or `--json-lines` the standard output of a command that failed ends with an object that has `error` and `exit_code`,
//! whatever the reason: the object of its results where it has some, else one of these alone.

use std::{ffi::OsString, process::ExitCode};

use clap::error::ErrorKind;
use serde::Serialize;

use crate::{error::Error, logs, print};

/// Why a command failed, in the object that it prints.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// What is wrong.
    pub error: String,
    /// What to do about it, where that does not follow from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// As [`Error::exit_code`].
    pub exit_code: u8,
}

impl Failure {
    /// Of this error.
    pub fn of(e: &Error) -> Self {
        Self { error: e.cause(), hint: e.remedy(), exit_code: e.exit_code() }
    }
}

/// A command's error.
#[derive(Debug)]
pub struct Failed {
    error: Error,
    /// The object of its results has it.
    told: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, told: false }
    }
}

/// The object of a command's results, which say why it failed where it did.
#[derive(Serialize)]
struct Document<'a, T> {
    #[serde(flatten)]
    results: &'a T,
    #[serde(flatten)]
    failure: Option<Failure>,
}

/// Prints the object of a command's results, and ends with `result`.
///
/// # Errors
/// That of `result`; those of [`print::json`].
pub fn document<T: Serialize>(results: &T, result: Result<(), Error>) -> Result<(), Failed> {
    let failure = result.as_ref().err().map(Failure::of);
    print::json(&Document { results, failure })?;
    result.map_err(|error| Failed { error, told: true })
}

/// Whether a program reads the standard output of a command with these arguments.
pub fn is_read_by_a_program(mut arguments: impl Iterator<Item = OsString>) -> bool {
    // What follows `--` are files.
    let mut options = arguments.by_ref().take_while(|word| word != "--");
    options.any(|word| word == "--json" || word == "--json-lines")
}

/// Tells how a command failed that was run.
pub fn failed(Failed { error, told }: &Failed, program: bool) -> ExitCode {
    // Where the output is the trouble nothing more is written there.
    let unwritten = matches!(error, Error::Closed | Error::Output(_));
    if program && !told && !unwritten {
        drop(print::json_line(&Failure::of(error)));
    }
    if !matches!(error, Error::Closed) {
        print::failed(error);
    }
    ExitCode::from(error.exit_code())
}

/// Tells what the parser of the command line has to say: help, or what is wrong.
pub fn unparsed(e: &clap::Error, program: bool) -> ExitCode {
    let text = e.render().to_string();
    let asked = !e.use_stderr() || e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    match text.trim().strip_prefix("error: ").filter(|_| !asked) {
        Some(why) if program || logs::are_json() => {
            failed(&Error::Config(why.to_owned()).into(), program)
        }
        _ => e.exit(),
    }
}
