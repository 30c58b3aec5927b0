//! What an attack found, as a line of the table and of the JSON.

use serde::Serialize;

/// How an attack ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It got nothing.
    Held,
    /// It got what the design says that it may get, and no more.
    Bounded,
    /// It broke through.
    Broken,
    /// It could not be tried.
    Failed,
}

/// What an attack tried and got.
pub struct Found {
    /// What it tried.
    pub tried: String,
    /// What it got.
    pub got: String,
    /// How it ended.
    pub verdict: Verdict,
}

impl Found {
    /// Held or broken.
    pub fn new(held: bool, tried: impl Into<String>, got: impl Into<String>) -> Self {
        let verdict = if held { Verdict::Held } else { Verdict::Broken };
        Self { tried: tried.into(), got: got.into(), verdict }
    }

    /// Bounded or broken.
    pub fn bounded(within: bool, tried: impl Into<String>, got: impl Into<String>) -> Self {
        let verdict = if within { Verdict::Bounded } else { Verdict::Broken };
        Self { verdict, ..Self::new(within, tried, got) }
    }

    /// Broken.
    pub fn broken(tried: impl Into<String>, got: impl Into<String>) -> Self {
        Self::new(false, tried, got)
    }
}

/// A line of the report.
#[derive(Serialize)]
pub struct Line {
    /// The audit's number.
    pub attack: &'static str,
    /// What kind it is.
    pub name: &'static str,
    /// What it tried.
    pub tried: String,
    /// What it got.
    pub got: String,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
}

impl Line {
    /// One line for people.
    pub fn text(&self) -> String {
        let verdict = format!("{:?}", self.verdict).to_uppercase();
        format!(
            "{:<3} {:<7} {:>5.1} s  {}: {}; got: {}",
            self.attack, verdict, self.seconds, self.name, self.tried, self.got
        )
    }
}
