//! Real UDP packets behave as a [`Path`] says: a relay between endpoints on this machine.
//!
//! A client connects to the link's address instead of the target's. Each client gets a socket of
//! its own towards the target, as behind a router that translates addresses. One thread carries
//! all links. Arrival times follow from the kernel's receive timestamps and the model alone, so a
//! late wake-up delays what is late and nothing after it. It needs Linux.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod emulator;
#[cfg(target_os = "linux")]
mod lane;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
pub mod probe;
#[cfg(target_os = "linux")]
mod relay;
#[cfg(target_os = "linux")]
mod way;
#[cfg(target_os = "linux")]
mod wire;

use std::net::SocketAddr;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Emulator, Link};
#[cfg(target_os = "linux")]
pub use emulator::{Emulator, Link};

use crate::Path;

/// A link to be emulated.
#[derive(Clone, Debug)]
pub struct LinkPlan {
    /// Where clients connect to; port 0 for any free one.
    pub listen: SocketAddr,
    /// Where their packets go.
    pub target: SocketAddr,
    /// What happens to them: `up` on the way to the target, `down` on the way back.
    pub path: Path,
}

/// What happened to the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Packets that passed, or are on their way.
    pub packets: u64,
    /// Their bytes, IP and UDP headers included.
    pub bytes: u64,
    /// Dropped because the queue was full.
    pub full: u64,
    /// Lost.
    pub lost: u64,
    /// Dropped because they are larger than the path takes.
    pub too_large: u64,
    /// Dropped because the link was cut.
    pub cut: u64,
    /// Passed, but held back so that others overtook them.
    pub overtaken: u64,
    /// Dropped by the kernel because this machine could not keep up: not what the path says.
    pub overrun: u64,
}

/// What happened to the packets of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// To the target.
    pub up: Counts,
    /// From it.
    pub down: Counts,
}
