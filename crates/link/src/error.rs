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

/// The step of an error that is met before the first one.
pub const CONNECTING: u32 = u32::MAX;

/// What can go wrong between two parties; never holds payload bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The connection to the peer is gone: look at the peer and at the network.
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
    Deadline {
        /// The peer and its address.
        peer: String,
        /// The step that we were at.
        step: u32,
        /// How long we waited.
        waited: Duration,
    },
    /// The two sides run different programs, plans or versions: compare them.
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
    Garbage {
        /// The peer and its address.
        peer: String,
        /// The step that we were at.
        step: u32,
        /// What was wrong with it.
        why: String,
    },
    /// One side did not show the certificate that the other has pinned: exchange certificates.
    Identity {
        /// The peer and its address.
        peer: String,
        /// Which certificate was not the pinned one, with fingerprints.
        why: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The peer has as many links as it allows: close one, or raise its limit.
    Busy {
        /// The peer and its address.
        peer: String,
        /// Which limit was met and what to do, in the peer's words.
        why: String,
    },
    /// More is queued for the peer than the limit allows: the peer does not read.
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
    Config(String),
    /// The operating system refused something on this machine.
    Io {
        /// What we tried.
        what: String,
        /// What the system said.
        why: String,
    },
}

impl Error {
    /// The text for people, in one line, with steps by the names that `name` knows.
    pub fn told(&self, name: &dyn Fn(u32) -> String) -> String {
        match self.remedy() {
            None => self.cause(name),
            Some(remedy) => format!("{}; {remedy}", self.cause(name)),
        }
    }

    /// What to do about it, where something can be said that is not the peer's to say.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Error::Link { remedy, .. } | Error::Identity { remedy, .. } => Some(remedy),
            Error::Deadline { .. } => {
                Some("see whether it hangs, or raise `deadline` on both sides")
            }
            Error::Desync { .. } => Some("run the same version of sotto on both sides"),
            Error::Garbage { .. } => Some(
                "run the same version of sotto on both sides; if they are the same, do not trust it",
            ),
            Error::Overflow { .. } => Some("see whether it hangs"),
            Error::Busy { .. } | Error::Config(_) | Error::Io { .. } => None,
        }
    }

    /// The peer, the step and what went wrong.
    pub fn cause(&self, name: &dyn Fn(u32) -> String) -> String {
        let at = |step: u32| match step {
            CONNECTING => "while connecting".to_owned(),
            step => format!("at {}", name(step)),
        };
        match self {
            Error::Link { peer, step, why, .. } => format!("lost {peer} {}: {why}", at(*step)),
            Error::Deadline { peer, step, waited } => {
                format!("{peer} neither sent nor took anything {} within {waited:.1?}", at(*step))
            }
            Error::Desync { peer, step, due, their_step, their_len } => format!(
                "{peer} sent {} ({their_len} bytes) where {} ({due}) was due: the two sides run different plans",
                name(*their_step),
                name(*step)
            ),
            Error::Garbage { peer, step, why } => {
                format!("{peer} sent garbage {}: {why}", at(*step))
            }
            Error::Identity { peer, why, .. } => format!("{peer} {}: {why}", at(CONNECTING)),
            Error::Busy { peer, why } => format!("{peer} takes no more links now: {why}"),
            Error::Overflow { peer, step, queued, limit } => format!(
                "{queued} bytes are queued for {peer} {} and {limit} is the limit: it does not read them",
                at(*step)
            ),
            Error::Config(why) => why.clone(),
            Error::Io { what, why } => format!("cannot {what}: {why}"),
        }
    }

    /// An [`Error::Io`] of what was tried.
    pub fn io(what: impl Into<String>, why: &std::io::Error) -> Self {
        Error::Io { what: what.into(), why: why.to_string() }
    }
}

/// A step without a name: those of control messages have the upper half of the numbers.
pub fn unnamed(step: u32) -> String {
    match step.checked_sub(1 << 31) {
        Some(control) => format!("control step {control}"),
        None => format!("step {step}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(&unnamed))
    }
}

impl std::error::Error for Error {}
