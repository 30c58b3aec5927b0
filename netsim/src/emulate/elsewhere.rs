//! What there is where no emulator is.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use super::{LinkPlan, Statistics};
use crate::Error;

/// There is none on this system.
pub struct Emulator(Infallible);

/// A link of an emulator that is not.
#[derive(Clone)]
pub struct Link(Infallible);

impl Emulator {
    /// Says that it needs another system.
    ///
    /// # Errors
    /// [`Error::Input`] always.
    pub fn start(_seed: u64) -> Result<Self, Error> {
        Err(Error::Input("networks are emulated on Linux alone".into()))
    }

    /// Nobody can ask for it.
    ///
    /// # Errors
    /// None.
    pub fn add(&mut self, _plan: &LinkPlan) -> Result<Link, Error> {
        match self.0 {}
    }
}

impl Link {
    /// Nobody can ask for it.
    pub fn address(&self) -> SocketAddr {
        match self.0 {}
    }

    /// Nobody can ask for it.
    pub fn partition(&self, _duration: Duration) {
        match self.0 {}
    }

    /// Nobody can ask for it.
    pub fn partition_at(&self, _bytes: [u64; 2]) {
        match self.0 {}
    }

    /// Nobody can ask for it.
    pub fn statistics(&self) -> Statistics {
        match self.0 {}
    }
}
