//! What a plan costs on a network, before anybody deploys it.
//!
//! One description of a [`Network`] (delay, rate, loss of each direction between client, server and
//! dealer) has two readers: the simulator, which predicts when every message of a plan arrives, and
//! the emulator, which makes real UDP packets behave so on this machine.

#[cfg(target_os = "linux")]
pub mod emulate;
mod error;
mod network;
mod quantity;

pub use error::Error;
pub use network::{Direction, Host, Network, PRESETS, Path};
