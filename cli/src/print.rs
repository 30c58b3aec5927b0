//! How every command prints. Names of files and what peers wrote are shown with what could steer a terminal escaped.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

use serde::Serialize;
use tracing::Level;

use crate::{error::Error, logs};

/// Whether a character steers a terminal, or is not seen: controls, directions, what has no width.
fn steers(c: char) -> bool {
    let unseen = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}');
    unseen || c.is_control() && !matches!(c, '\n' | '\t')
}

/// A text with such characters as `escape` writes them.
fn plain(text: &str, escape: impl Fn(char) -> String) -> String {
    text.split_inclusive(steers)
        .flat_map(|part| {
            let last = part.chars().next_back().filter(|c| steers(*c));
            let kept = part.strip_suffix(steers).unwrap_or(part);
            [kept.to_owned(), last.map(&escape).unwrap_or_default()]
        })
        .collect()
}

fn shown(text: impl Display) -> String {
    plain(&text.to_string(), |c| c.escape_unicode().to_string())
}

/// The same inside of JSON's strings, which is all that it has such characters in.
fn in_json(text: &str) -> String {
    plain(text, |c| format!("\\u{:04x}", u32::from(c)))
}

/// Prints a line to the standard output.
///
/// # Errors
/// [`Error::Closed`] when nobody reads it any more, [`Error::Output`] when it cannot be written.
pub fn line(text: impl Display) -> Result<(), Error> {
    written(shown(text))
}

fn written(text: String) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(unwritten)
}

/// Prints bytes as they are.
///
/// # Errors
/// As [`line()`].
pub fn bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(unwritten)
}

/// Prints a JSON object over several lines.
///
/// # Errors
/// As [`line()`].
pub fn json<T: Serialize>(value: &T) -> Result<(), Error> {
    written(in_json(&serde_json::to_string_pretty(value).map_err(|e| Error::Check(e.to_string()))?))
}

/// Prints a JSON object in one line.
///
/// # Errors
/// As [`line()`].
pub fn json_line<T: Serialize>(value: &T) -> Result<(), Error> {
    written(in_json(&serde_json::to_string(value).map_err(|e| Error::Check(e.to_string()))?))
}

/// Tells a person something, on the standard error and as the log is written there; where that cannot be written nobody is told.
pub fn say(level: Level, text: impl Display) {
    told(level, &text.to_string(), None);
}

/// Tells a person that a command failed, and what to do about it.
pub fn failed(e: &Error) {
    told(Level::ERROR, &e.cause(), e.remedy().as_deref());
}

fn told(level: Level, message: &str, hint: Option<&str>) {
    let text = logs::said(level, message, hint);
    drop(writeln!(io::stderr().lock(), "{}", shown(text)));
}

fn unwritten(e: io::Error) -> Error {
    match e.kind() {
        ErrorKind::BrokenPipe => Error::Closed,
        _ => Error::Output(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_and_json_stays_what_it_is() {
        let name = "a\u{1b}[2J\u{202e}\u{9b}2J\u{200b}é\u{7f} ✓\tb\n";
        assert_eq!(shown(name), "a\\u{1b}[2J\\u{202e}\\u{9b}2J\\u{200b}é\\u{7f} ✓\tb\n");
        let json = in_json(&serde_json::json!({ "name": name }).to_string());
        assert!(!json.chars().any(steers), "{json}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["name"], name);
    }
}
