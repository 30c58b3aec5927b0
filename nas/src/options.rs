//! Values of options on a command line.

use std::fmt::Display;
use std::str::FromStr;

/// A number from `low` to `high`.
pub(crate) fn within<T>(low: T, high: T) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        let parsed = text.parse::<T>().ok().filter(|v| *v >= low && *v <= high);
        parsed.ok_or_else(|| format!("wants a number from {low} to {high}"))
    }
}

/// Seconds from `2.5s`, `2.5` or `80ms`.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let value = digits.trim().parse::<f64>().ok().map(|v| v * unit);
    let fits = value.filter(|v| v.is_finite() && *v >= 0.0);
    fits.ok_or_else(|| "wants a time such as 2.5s or 80ms".into())
}

/// [`seconds`], but not zero.
pub(crate) fn above_zero(text: &str) -> Result<f64, String> {
    let value = seconds(text)?;
    if value > 0.0 { Ok(value) } else { Err("wants a time above zero".into()) }
}

#[cfg(test)]
pub(crate) mod testing {
    /// Words behind a program's name, and an architecture where they name none.
    pub fn line(words: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut line = vec!["sotto-nas".to_owned()];
        line.extend(words);
        if !line.iter().any(|word| word == "--arch" || word == "--preset") {
            line.extend(["--arch", "vit_7_4_32"].map(str::to_owned));
        }
        line
    }
}
