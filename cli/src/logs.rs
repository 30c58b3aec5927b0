//! What the processes write to the standard error while they work. Nothing secret is ever logged.

use std::io;

use serde::Serialize;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    fmt::{
        format::Writer,
        time::{FormatTime, SystemTime},
    },
};

use crate::error::Error;

/// Which levels: `off`, `error`, `warn` (the default), `info`, `debug`, `trace`, also of single modules (`sotto::server=debug`).
const LEVELS: &str = "SOTTO_LOG";

/// `text` (the default) or `json`.
const FORMAT: &str = "SOTTO_LOG_FORMAT";

fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Whether each line is a JSON object.
pub fn are_json() -> bool {
    read(FORMAT).as_deref() == Some("json")
}

/// What a command itself says, as a line of a log in JSON has it.
#[derive(Serialize)]
struct Said<'a> {
    timestamp: String,
    level: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    target: &'static str,
}

/// What a command itself says to people, whatever levels are logged: a line, and a hint on a line of its own; as one object where
/// the log is in JSON.
pub fn said(level: Level, message: &str, hint: Option<&str>) -> String {
    if !are_json() {
        let kind = match level {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        let hint = hint.map_or_else(String::new, |hint| format!("\nhint: {hint}"));
        return format!("{kind}{message}{hint}");
    }
    let mut timestamp = String::new();
    SystemTime.format_time(&mut Writer::new(&mut timestamp)).expect("a string takes it");
    let said = Said { timestamp, level: level.as_str(), message, hint, target: "sotto" };
    serde_json::to_string(&said).expect("texts are JSON")
}

/// Starts to log, once in a process; a `service` that runs for long says when (UTC).
///
/// # Errors
/// [`Error::Config`] for a level or form that is not known: to log nothing unasked would be found out too late.
pub fn start(service: bool) -> Result<(), Error> {
    let levels = filter(&read(LEVELS).unwrap_or_else(|| "warn".into()))?;
    let all = tracing_subscriber::fmt()
        .with_env_filter(levels)
        .with_writer(io::stderr)
        // They would be printed where nothing can be.
        .log_internal_errors(false);
    match (read(FORMAT).as_deref(), service) {
        (None | Some("text"), true) => all.init(),
        (None | Some("text"), false) => all.without_time().init(),
        (Some("json"), _) => all.json().flatten_event(true).with_current_span(false).init(),
        (Some(other), _) => {
            return Err(Error::Config(format!("{FORMAT}={other}; text or json is accepted")));
        }
    }
    Ok(())
}

fn filter(levels: &str) -> Result<EnvFilter, Error> {
    let refused = || {
        Error::Config(format!(
            "{LEVELS}={levels}; off, error, warn, info, debug or trace is accepted, also of a module: sotto::server=debug"
        ))
    };
    // The library takes a word that is no level for a module's name, and then logs nothing of the others; no word for a level.
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let is_known = |part: &str| part.contains('=') || is_level(part);
    if !levels.split(',').map(str::trim).all(is_known) {
        return Err(refused());
    }
    EnvFilter::builder().parse(levels).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_level_is_refused() {
        for levels in ["info", "WARN", "off", "warn,sotto::server=debug", "sotto=trace"] {
            assert!(filter(levels).is_ok(), "{levels}");
        }
        for levels in ["inof", "warn,inof", "sotto=loud", "sotto"] {
            let error = filter(levels).unwrap_err();
            assert!(error.to_string().contains("SOTTO_LOG") && error.exit_code() == 2, "{levels}");
        }
    }
}
