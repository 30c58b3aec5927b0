//! Times, rates, sizes and shares as people write them: `30ms`, `100Mbps`, `44MB/s`, `64KiB`, `1%`.

use crate::Error;

/// A unit's name and its size in seconds, bytes per second, bytes or as a share.
type Units = &'static [(&'static str, f64)];

const TIMES: Units = &[("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
const RATES: Units = &[
    ("kbps", 125.0),
    ("Mbps", 125e3),
    ("Gbps", 125e6),
    ("kbit/s", 125.0),
    ("Mbit/s", 125e3),
    ("Gbit/s", 125e6),
    ("kB/s", 1e3),
    ("MB/s", 1e6),
    ("GB/s", 1e9),
];
const SIZES: Units = &[("kB", 1e3), ("MB", 1e6), ("KiB", 1024.0), ("MiB", 1_048_576.0), ("B", 1.0)];

fn parse(text: &str, units: Units, what: &str, example: &str) -> Result<f64, Error> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..split].trim(), text[split..].trim());
    let size = units.iter().find(|(name, _)| *name == unit).map(|(_, size)| size);
    let number: Option<f64> = number.parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0);
    match (number, size) {
        (Some(number), Some(size)) => Ok(number * size),
        _ => {
            let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
            Err(Error::Input(format!(
                "`{text}` is not a {what}: a number that is not negative and one of {}, such as {example}",
                names.join(", ")
            )))
        }
    }
}

/// Seconds.
///
/// # Errors
/// [`Error::Input`] that says what is accepted.
pub fn time(text: &str) -> Result<f64, Error> {
    parse(text, TIMES, "time", "20ms")
}

/// Bytes per second; `unlimited` is infinite.
///
/// # Errors
/// [`Error::Input`] that says what is accepted; a rate of zero is none.
pub fn rate(text: &str) -> Result<f64, Error> {
    if text.trim() == "unlimited" {
        return Ok(f64::INFINITY);
    }
    match parse(text, RATES, "rate", "100Mbps, 44MB/s or `unlimited`")? {
        0.0 => Err(Error::Input(format!("a rate of `{text}` moves nothing; use more than 0"))),
        rate => Ok(rate),
    }
}

/// Bytes.
///
/// # Errors
/// [`Error::Input`] that says what is accepted.
pub fn size(text: &str) -> Result<f64, Error> {
    parse(text, SIZES, "size", "256KiB")
}

/// A share of packets, below one.
///
/// # Errors
/// [`Error::Input`] that says what is accepted.
pub fn share(text: &str) -> Result<f64, Error> {
    let text = text.trim();
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number.trim(), 0.01),
        None => (text, 1.0),
    };
    let share = number.parse().ok().map(|x: f64| x * unit).filter(|x| (0.0..1.0).contains(x));
    share.ok_or_else(|| {
        Error::Input(format!("`{text}` is not a share of packets: 0% or more and less than 100%"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-12 * b.abs(), "{a} for {b}");
        close(time("30ms").unwrap(), 0.03);
        close(time("0.1 ms").unwrap(), 1e-4);
        close(time("250us").unwrap(), 2.5e-4);
        close(rate("100Mbps").unwrap(), 12.5e6);
        close(rate("44 MB/s").unwrap(), 44e6);
        close(rate("1Gbit/s").unwrap(), 125e6);
        assert_eq!(rate("unlimited").unwrap(), f64::INFINITY);
        close(size("64KiB").unwrap(), 65536.0);
        close(share("1%").unwrap(), 0.01);
        close(share("0.001").unwrap(), 0.001);
    }

    #[test]
    fn nonsense_is_refused_with_what_is_accepted() {
        for (refused, hint) in [
            (time("-3ms"), "20ms"),
            (time("3"), "ms"),
            (time("NaNs"), "20ms"),
            (rate("-1Mbps"), "100Mbps"),
            (rate("0Mbps"), "more than 0"),
            (rate("infMbps"), "100Mbps"),
            (rate("fast"), "unlimited"),
            (size("12"), "KiB"),
            (share("100%"), "less than 100%"),
            (share("-1%"), "0%"),
        ] {
            let message = refused.unwrap_err().to_string();
            assert!(message.contains(hint), "{message}");
        }
    }
}
