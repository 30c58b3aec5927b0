//! Where correlated randomness comes from: a word of configurations, greetings and refusals.

use std::fmt;

use serde::{Deserialize, Serialize};
use sotto_protocols::make::Extension;

/// Where correlated randomness comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A third party deals it, and must not collude with either of the two.
    #[default]
    Dealer,
    /// Server and client make it by themselves, by Ferret: fewest bytes.
    Peer,
    /// Server and client make it by themselves, by SoftSpoken: without learning parity with noise as an assumption.
    SoftSpoken,
}

impl Source {
    /// The word of configurations and command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Dealer => "dealer",
            Source::Peer => "peer",
            Source::SoftSpoken => "softspoken",
        }
    }

    /// What makes the transfers of two parties; none with a dealer.
    pub const fn extension(self) -> Option<Extension> {
        match self {
            Source::Dealer => None,
            Source::Peer => Some(Extension::Ferret),
            Source::SoftSpoken => Some(Extension::SOFTSPOKEN),
        }
    }

    /// Two parties alone, by this extension.
    pub const fn alone(extension: Extension) -> Self {
        match extension {
            Extension::Ferret => Source::Peer,
            Extension::SoftSpoken(_) => Source::SoftSpoken,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Dealer => "a dealer",
            Source::Peer => "its peer",
            Source::SoftSpoken => "its peer by SoftSpoken",
        })
    }
}
