//! Values of options on a command line.

use std::fmt::Display;
use std::str::FromStr;

use crate::Error;

/// A number from `low` to `high`.
pub(crate) fn number<T>(name: &str, value: &str, low: T, high: T) -> Result<T, Error>
where
    T: FromStr + PartialOrd + Display,
{
    let parsed = value.parse::<T>().ok().filter(|v| *v >= low && *v <= high);
    parsed
        .ok_or_else(|| Error::Usage(format!("{name} {value}: wants a number from {low} to {high}")))
}

/// One of the words that are accepted.
pub(crate) fn one_of(name: &str, value: &str, accepted: &[&str]) -> Result<String, Error> {
    if accepted.contains(&value) {
        return Ok(value.to_owned());
    }
    Err(Error::Usage(format!("{name} {value}: wants one of {}", accepted.join(", "))))
}

/// Seconds from `2.5s`, `2.5` or `80ms`.
pub(crate) fn seconds(name: &str, text: &str) -> Result<f64, Error> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let value = digits.trim().parse::<f64>().ok().map(|v| v * unit);
    value
        .filter(|v| v.is_finite() && *v >= 0.0)
        .ok_or_else(|| Error::Usage(format!("{name} {text}: wants a time such as 2.5s or 80ms")))
}

/// [`seconds`], but not zero.
pub(crate) fn above_zero(name: &str, text: &str) -> Result<f64, Error> {
    let value = seconds(name, text)?;
    let wrong = || Error::Usage(format!("{name} {text}: wants a time above zero"));
    if value > 0.0 { Ok(value) } else { Err(wrong()) }
}
