//! One error enum, its variants by who must act.

use std::fmt;
use std::time::Duration;

/// The length that the receiver was ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Exactly so many bytes.
    Exactly(usize),
    /// At most so many bytes.
    AtMost(usize),
}

impl Due {
    /// Whether a message of so many bytes is what was due.
    pub fn allows(self, len: u64) -> bool {
        match self {
            Due::Exactly(due) => len == due as u64,
            Due::AtMost(limit) => len <= limit as u64,
        }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Due::Exactly(len) => write!(f, "{len} bytes"),
            Due::AtMost(len) => write!(f, "at most {len} bytes"),
        }
    }
}

/// What can go wrong between two parties; never holds payload bytes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection to the peer is gone: look at the peer and at the network.
    #[error("lost {peer} at step {step}: {why}; {remedy}")]
    Link {
        /// The peer and its address.
        peer: String,
        /// The step that we were at.
        step: u32,
        /// What happened.
        why: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The peer did not answer in time: look at the peer, or allow more time.
    #[error(
        "{peer} neither sent nor took anything for step {step} within {waited:.1?}; it hangs, or the deadline is too short for it"
    )]
    Deadline {
        /// The peer and its address.
        peer: String,
        /// The step that we were at.
        step: u32,
        /// How long we waited.
        waited: Duration,
    },
    /// The two sides run different programs, plans or versions: compare them.
    #[error(
        "{peer} sent step {their_step} ({their_len} bytes) where step {step} ({due}) was due; the two sides run different plans"
    )]
    Desync {
        /// The peer and its address.
        peer: String,
        /// The step that we were at.
        step: u32,
        /// The length that we were ready for.
        due: Due,
        /// The step in the peer's message.
        their_step: u32,
        /// The length in the peer's message.
        their_len: u64,
    },
    /// The peer sent what no honest peer of this version sends.
    #[error("{peer} sent garbage at step {step}: {why}")]
    Garbage {
        /// The peer and its address.
        peer: String,
        /// The step that we were at.
        step: u32,
        /// What was wrong with it.
        why: String,
    },
    /// One side did not show the certificate that the other has pinned: exchange certificates.
    #[error("{peer}: {why}")]
    Identity {
        /// The peer and its address.
        peer: String,
        /// Which certificate was not the pinned one, with fingerprints.
        why: String,
    },
    /// The peer has as many links as it allows: close one, or raise its limit.
    #[error("{peer} takes no more links now: {why}")]
    Busy {
        /// The peer and its address.
        peer: String,
        /// Which limit was met and what to do, in the peer's words.
        why: String,
    },
    /// More is queued for the peer than the limit allows: the peer does not read.
    #[error(
        "{queued} bytes are queued for {peer} at step {step} and {limit} is the limit; it does not read them"
    )]
    Overflow {
        /// The peer and its address.
        peer: String,
        /// The step of the message that was refused.
        step: u32,
        /// What the queue would have held.
        queued: u64,
        /// What it may hold.
        limit: u64,
    },
    /// A setting, key or certificate cannot be used as it is.
    #[error("{0}")]
    Config(String),
    /// The operating system refused something on this machine.
    #[error("cannot {what}: {why}")]
    Io {
        /// What we tried.
        what: String,
        /// What the system said.
        why: String,
    },
}

impl Error {
    /// An [`Error::Io`] of what was tried.
    pub fn io(what: impl Into<String>, why: &std::io::Error) -> Self {
        Error::Io { what: what.into(), why: why.to_string() }
    }
}
