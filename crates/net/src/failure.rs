//! Why a link died, and how QUIC's reasons become ours.

use quinn::{ConnectionError, ReadError, TransportErrorCode, VarInt, WriteError};

use crate::{Error, printable};

/// Application close codes; `FINISHED` carries how many messages were taken in.
pub(crate) const FINISHED: VarInt = VarInt::from_u32(0);
pub(crate) const ABANDONED: VarInt = VarInt::from_u32(1);
pub(crate) const STOPPED: VarInt = VarInt::from_u32(2);
pub(crate) const BUSY: VarInt = VarInt::from_u32(3);

/// What to do where a certificate is not the one that we have of its party.
pub(crate) const PINNED: &str =
    "take its present .cert file, compared by `sotto fingerprint`, or correct name and address";

/// Why a link can carry nothing more; becomes an [`Error`] when somebody asks for a step.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The peer finished politely, after taking `received` of our messages.
    Finished {
        received: u64,
    },
    Gone {
        why: String,
        remedy: &'static str,
    },
    Garbage(String),
    Identity {
        why: &'static str,
        remedy: &'static str,
    },
    /// The peer takes no more links.
    Busy(String),
    /// Our own error, found at a `recv`: every later call repeats it.
    Ours(Error),
}

impl Failure {
    pub fn gone(why: impl Into<String>, remedy: &'static str) -> Self {
        Failure::Gone { why: why.into(), remedy }
    }

    pub fn into_error(self, peer: &str, step: u32) -> Error {
        let peer = peer.to_owned();
        match self {
            Failure::Finished { .. } => Error::Link {
                peer,
                step,
                why: "it has finished and closed the link".into(),
                remedy: "connect again",
            },
            Failure::Gone { why, remedy } => Error::Link { peer, step, why, remedy },
            Failure::Garbage(why) => Error::Garbage { peer, step, why },
            Failure::Identity { why, remedy } => Error::Identity { peer, why: why.into(), remedy },
            Failure::Busy(why) => Error::Busy { peer, why },
            Failure::Ours(error) => error,
        }
    }
}

pub(crate) fn stream_ended() -> Failure {
    Failure::gone("it ended the stream without finishing", "look at its log")
}

pub(crate) fn closed_here() -> Failure {
    Failure::gone("this side closed the link", "connect again")
}

pub(crate) fn read_failure(error: ReadError) -> Failure {
    match error {
        ReadError::ConnectionLost(error) => connection_failure(error),
        ReadError::Reset(_) => stream_ended(),
        error => Failure::gone(error.to_string(), "look at its log"),
    }
}

pub(crate) fn write_failure(error: WriteError) -> Failure {
    match error {
        WriteError::ConnectionLost(error) => connection_failure(error),
        WriteError::Stopped(_) => stream_ended(),
        error => Failure::gone(error.to_string(), "look at its log"),
    }
}

/// quinn wraps its own error when it is read through tokio's trait.
pub(crate) fn io_failure(error: std::io::Error) -> Failure {
    let text = error.to_string();
    match error.into_inner().and_then(|inner| inner.downcast::<ReadError>().ok()) {
        Some(error) => read_failure(*error),
        None => Failure::gone(text, "look at its log"),
    }
}

/// TLS alerts by which one side refuses the other's certificate.
const CERTIFICATE_ALERTS: [u64; 9] = [41, 42, 43, 44, 45, 46, 48, 49, 116];

/// QUIC carries TLS alerts as the codes from 0x100 on.
fn tls_alert(code: TransportErrorCode) -> Option<u64> {
    let code = u64::from(code);
    (code >> 8 == 1).then_some(code & 0xff)
}

/// Another protocol version, for example: trying again would not help.
fn other_tls(alert: u64) -> Failure {
    Failure::Garbage(format!(
        "its TLS does not fit ours (alert {alert}); compare the versions of both sides"
    ))
}

/// Longest reason for a close that is told and shown (characters).
pub(crate) const REASON: usize = 200;

/// What the peer says about a close: a hostile one writes this text.
fn words(reason: &[u8]) -> String {
    printable(&String::from_utf8_lossy(reason), REASON)
}

pub(crate) fn connection_failure(error: ConnectionError) -> Failure {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let reason = &close.reason;
            if close.error_code == FINISHED {
                match <[u8; 8]>::try_from(&reason[..]) {
                    Ok(received) => Failure::Finished { received: u64::from_le_bytes(received) },
                    // What quinn says when a connection is dropped before it is a link.
                    Err(_) if reason.is_empty() => {
                        Failure::gone("it dropped the connection", "look at its log")
                    }
                    Err(_) => Failure::Garbage("a finish without its count".into()),
                }
            } else if close.error_code == STOPPED {
                Failure::gone(
                    format!("it stopped: {}", words(reason)),
                    "compare the plans and versions of both sides",
                )
            } else if close.error_code == BUSY {
                Failure::Busy(words(reason))
            } else if close.error_code == ABANDONED && !reason.is_empty() {
                Failure::gone(
                    format!("it went away: {}", words(reason)),
                    "connect again when it is back",
                )
            } else {
                Failure::gone("it went away without finishing", "look at its log")
            }
        }
        ConnectionError::ConnectionClosed(close) => match tls_alert(close.error_code) {
            Some(alert) if CERTIFICATE_ALERTS.contains(&alert) => Failure::Identity {
                why: "it refused our certificate",
                remedy: "give it our .cert file",
            },
            Some(alert) => other_tls(alert),
            None => Failure::gone(
                format!("it broke the connection off ({})", close.error_code),
                "look at its log",
            ),
        },
        ConnectionError::TransportError(error) => match tls_alert(error.code) {
            Some(alert) if CERTIFICATE_ALERTS.contains(&alert) => Failure::Identity {
                why: "we refused its certificate, which is not pinned",
                remedy: PINNED,
            },
            Some(alert) => other_tls(alert),
            None => Failure::gone(
                format!("it broke the rules of QUIC ({})", error.code),
                "compare the versions of both sides",
            ),
        },
        ConnectionError::TimedOut => {
            Failure::gone("it fell silent", "see whether it runs and the network works")
        }
        ConnectionError::Reset => Failure::gone("it restarted", "connect again"),
        ConnectionError::LocallyClosed => closed_here(),
        error => Failure::gone(error.to_string(), "look at the logs of both sides"),
    }
}
