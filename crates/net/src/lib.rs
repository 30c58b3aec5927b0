//! Moves bytes between the parties; knows no tensors.
//!
//! A [`Link`] is a blocking, ordered pipe of step-named messages to one peer: [`Link::send`] never
//! waits for the peer and [`Link::recv`] never waits for ever. Every message carries its step and
//! its length, both are checked before anything is allocated for it, and a peer at another step is
//! an [`Error::Desync`] that names both steps.
//!
//! Two links exist: [`local_pair`] inside one process, and [`QuicLink`] (QUIC with TLS 1.3, each
//! side pinning the other's exact [`Certificate`]) made by an [`Endpoint`]. Protocol code is
//! blocking, one thread per party; the asynchronous runtime lives inside the endpoint.

mod backlog;
mod budget;
mod congestion;
pub mod control;
mod endpoint;
mod error;
mod failure;
mod frame;
#[cfg(test)]
mod fuzz;
mod handshake;
mod identity;
mod inbox;
mod limits;
mod link;
mod local;
mod peers;
mod pinning;
mod places;
mod printable;
mod profile;
mod quic;
mod stream;
mod throttle;

pub use endpoint::Endpoint;
pub use error::{CONNECTING, Due, Error};
pub use identity::{Certificate, Identity, check_name};
pub use limits::Limits;
pub use link::{Link, Traffic};
pub use local::{LocalLink, local_pair};
pub use printable::printable;
pub use profile::Profile;
pub use quic::QuicLink;
