//! What a plan costs on a network, before anybody deploys it.
//!
//! One description of a [`Network`] (delay, rate, loss of each direction between client, server and
//! dealer) has two readers: the simulator, which predicts when every message of a plan arrives, and
//! the emulator, which makes real UDP packets behave so on this machine.

mod calibrate;
pub mod emulate;
mod error;
mod fit;
mod linear;
mod machine;
mod making;
mod network;
mod offline;
mod online;
mod predict;
mod price;
mod quantity;
#[cfg(test)]
mod testing;
mod timeline;
mod wire;

pub use calibrate::{Check, TRUSTED, Through, calibrate, deviation};
pub use error::Error;
pub use linear::solve;
pub use machine::{Machine, Messages, Phase, Rate, SetupRates};
pub use making::{Counts, Making};
pub use network::{Direction, Host, LOCAL_ROUND_TRIP, Network, PRESETS, Path, PathFile};
pub use offline::{Offline, offline, setup};
pub use online::{LevelTimes, Spent, online};
pub use predict::{Part, Prediction, Source, Throughput, predict};
pub use price::{Machines, Prepared, Priced, Step};
pub use timeline::timeline;
