//! Real UDP packets behave as a [`Path`] says: a relay between endpoints on this machine.
//!
//! A client connects to the link's address instead of the target's. Each client gets a socket of
//! its own towards the target, as behind a router that translates addresses. One thread carries
//! all links. Arrival times follow from the kernel's receive timestamps and the model alone, so a
//! late wake-up delays what is late and nothing after it.

mod lane;
mod link;
pub mod probe;
mod relay;
mod way;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::{Error, Path};
use link::{LinkState, Meters};
use relay::{Order, Relay};

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

/// A running link.
#[derive(Clone)]
pub struct Link {
    number: usize,
    address: SocketAddr,
    meters: Arc<Meters>,
    control: Arc<Control>,
}

struct Control {
    orders: Mutex<mpsc::Sender<Order>>,
    wake: Arc<EventFd>,
}

impl Control {
    fn give(&self, order: Order) {
        // A relay that has ended takes no orders, and needs none.
        let _ = self.orders.lock().unwrap_or_else(PoisonError::into_inner).send(order);
        let _ = self.wake.write(1);
    }
}

/// Carries packets until it is dropped.
pub struct Emulator {
    control: Arc<Control>,
    seed: u64,
    links: usize,
    relay: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts without a link. Losses and jitter follow from `seed` and the packets alone.
    ///
    /// # Errors
    /// [`Error::Io`] when the system refuses a thread.
    pub fn start(seed: u64) -> Result<Self, Error> {
        let io = |error: std::io::Error| Error::Io { what: "start the emulator".into(), error };
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = Arc::new(EventFd::from_flags(flags).map_err(|errno| io(errno.into()))?);
        let (orders, taken) = mpsc::channel();
        let relay = Relay::new(taken, Arc::clone(&wake));
        let thread = thread::Builder::new().name("sotto-emulator".into());
        let relay = thread.spawn(move || relay.run()).map_err(io)?;
        let control = Arc::new(Control { orders: Mutex::new(orders), wake });
        Ok(Self { control, seed, links: 0, relay: Some(relay) })
    }

    /// Adds a link.
    ///
    /// # Errors
    /// [`Error::Io`] when its address cannot be had.
    pub fn add(&mut self, plan: &LinkPlan) -> Result<Link, Error> {
        let io = |error| Error::Io { what: format!("listen at {}", plan.listen), error };
        let number = self.links;
        let seed = self.seed.wrapping_add(2 * number as u64);
        let state = LinkState::new(plan, seed).map_err(io)?;
        let (address, meters) = (state.address().map_err(io)?, Arc::clone(&state.meters));
        self.control.give(Order::Add(Box::new(state)));
        self.links += 1;
        Ok(Link { number, address, meters, control: Arc::clone(&self.control) })
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.control.give(Order::Stop);
        if let Some(relay) = self.relay.take() {
            // A panic in there was printed by its own thread.
            let _ = relay.join();
        }
    }
}

impl Link {
    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the link now, both ways, for so long; what is on its way still arrives. A duration of
    /// zero mends it.
    pub fn partition(&self, duration: Duration) {
        self.control.give(Order::Cut { link: self.number, duration });
    }

    /// What happened so far.
    pub fn statistics(&self) -> Statistics {
        let [up, down] = self.meters.read();
        Statistics { up, down }
    }
}
