//! Moves bytes between the parties; knows no tensors.
//!
//! The contract of a [`Link`], its errors and the [`local_pair`] are those of `sotto-link`, which knows no sockets. Here
//! is [`QuicLink`] (QUIC with TLS 1.3, each side pinning the other's exact [`Certificate`]), made by an [`Endpoint`].
//! Whoever uses a link may block; the asynchronous runtime lives inside the endpoint.

mod backlog;
mod budget;
mod congestion;
pub mod control;
mod endpoint;
mod failure;
mod frame;
#[cfg(test)]
mod fuzz;
mod handshake;
mod identity;
mod inbox;
mod limits;
mod peers;
mod pinning;
mod places;
mod printable;
mod profile;
mod quic;
mod stream;
mod sync;
#[cfg(test)]
mod tests;
mod throttle;

pub use endpoint::Endpoint;
pub use identity::{Certificate, Identity, check_name};
pub use limits::Limits;
pub use printable::printable;
pub use profile::Profile;
pub use quic::{Ender, QuicLink};
pub use sotto_link::{AHEAD, CONNECTING, Due, Error, Link, LocalLink, Traffic, local_pair};
