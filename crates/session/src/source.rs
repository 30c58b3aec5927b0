//! Where correlated randomness comes from: a word of configurations, greetings and refusals.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where correlated randomness comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A third party deals it, and must not collude with either of the two.
    #[default]
    Dealer,
    /// Server and client make it by themselves.
    Peer,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Dealer => "a dealer",
            Source::Peer => "its peer",
        })
    }
}
