//! A network as people write it.

use serde::Deserialize;

use super::{Direction, Path, queue};
use crate::{Error, quantity};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Option<String>,
    pub(super) client_server: PathFile,
    pub(super) client_dealer: Option<PathFile>,
    pub(super) server_dealer: Option<PathFile>,
}

/// A path as people write it; what is left out is unlimited, lossless and instant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathFile {
    /// Round trip; or `delay`.
    pub rtt: Option<String>,
    /// One way; or `rtt`.
    pub delay: Option<String>,
    /// Both ways; or `up` and `down`.
    pub rate: Option<String>,
    /// From the first named host.
    pub up: Option<String>,
    /// To it.
    pub down: Option<String>,
    /// Largest extra delay.
    pub jitter: Option<String>,
    /// Share of lost packets.
    pub loss: Option<String>,
    /// Share of overtaken packets.
    pub reorder: Option<String>,
    /// Bytes that may wait.
    pub queue: Option<String>,
    /// Largest IP packet.
    pub mtu: Option<usize>,
}

impl PathFile {
    /// Reads the quantities.
    ///
    /// # Errors
    /// [`Error::Input`] that says what is accepted.
    pub fn path(&self) -> Result<Path, Error> {
        type Read = fn(&str) -> Result<f64, Error>;
        let read = |text: &Option<String>, read: Read| text.as_deref().map(read).transpose();
        let delay = match (read(&self.rtt, quantity::time)?, read(&self.delay, quantity::time)?) {
            (Some(_), Some(_)) => {
                return Err(Error::Input("give rtt or delay (one way), not both".into()));
            }
            (Some(rtt), None) => rtt / 2.0,
            (None, delay) => delay.unwrap_or(0.0),
        };
        if self.rate.is_some() && (self.up.is_some() || self.down.is_some()) {
            return Err(Error::Input("give rate (both ways), or up and down, not both".into()));
        }
        let mtu = self.mtu.unwrap_or(1500);
        if !(1280..=65_535).contains(&mtu) {
            return Err(Error::Input(format!("an mtu of {mtu} is not within 1280 to 65535")));
        }
        let both = read(&self.rate, quantity::rate)?;
        let direction = |rate: Option<f64>| -> Result<Direction, Error> {
            let rate = rate.or(both).unwrap_or(f64::INFINITY);
            Ok(Direction {
                delay,
                jitter: read(&self.jitter, quantity::time)?.unwrap_or(0.0),
                rate,
                loss: read(&self.loss, quantity::share)?.unwrap_or(0.0),
                reorder: read(&self.reorder, quantity::share)?.unwrap_or(0.0),
                queue: read(&self.queue, quantity::size)?.unwrap_or(queue(rate)),
                mtu,
            })
        };
        Ok(Path {
            up: direction(read(&self.up, quantity::rate)?)?,
            down: direction(read(&self.down, quantity::rate)?)?,
        })
    }
}
