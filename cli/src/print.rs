//! How every command prints.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

use serde::Serialize;

use crate::error::Error;

/// Prints a line to the standard output.
///
/// # Errors
/// [`Error::Closed`] when nobody reads it any more, [`Error::Output`] when it cannot be written.
pub fn line(text: impl Display) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(failed)
}

/// Prints bytes as they are.
///
/// # Errors
/// As [`line()`].
pub fn bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(failed)
}

/// Prints a JSON object over several lines.
///
/// # Errors
/// As [`line()`].
pub fn json<T: Serialize>(value: &T) -> Result<(), Error> {
    line(serde_json::to_string_pretty(value).map_err(|e| Error::Check(e.to_string()))?)
}

/// Prints a JSON object in one line.
///
/// # Errors
/// As [`line()`].
pub fn json_line<T: Serialize>(value: &T) -> Result<(), Error> {
    line(serde_json::to_string(value).map_err(|e| Error::Check(e.to_string()))?)
}

/// Tells a person something, on the standard error; where that cannot be written nobody is told.
pub fn say(text: impl Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

fn failed(e: io::Error) -> Error {
    match e.kind() {
        ErrorKind::BrokenPipe => Error::Closed,
        _ => Error::Output(e.to_string()),
    }
}
