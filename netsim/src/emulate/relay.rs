//! The thread that carries the packets of all links.

use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;

use super::link::LinkState;
use super::wire::{Clock, LARGEST};

/// A timer, and the way of a packet through the kernel, take at least so long.
const LEAD: u64 = 15_000;

/// The relay's priority where the system grants it: parties that compute on all cores must not
/// delay packets.
const NICE: i32 = -15;

/// What the relay is told.
pub(crate) enum Order {
    Add(Box<LinkState>),
    Cut { link: usize, duration: Duration },
    CutAt { link: usize, bytes: [u64; 2] },
    Stop,
}

pub(crate) struct Relay {
    links: Vec<LinkState>,
    orders: mpsc::Receiver<Order>,
    wake: Arc<EventFd>,
    clock: Clock,
}

impl Relay {
    pub fn new(orders: mpsc::Receiver<Order>, wake: Arc<EventFd>) -> Self {
        Self { links: Vec::new(), orders, wake, clock: Clock::start() }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        // Exact timers and a place before threads that compute; without them it is less precise.
        let _ = nix::sys::prctl::set_timerslack(1);
        let _ = rustix::process::setpriority_process(None, NICE);
        let mut buffer = vec![0; LARGEST];
        let mut ready = Vec::new();
        loop {
            let now = self.clock.now() + LEAD;
            for link in &mut self.links {
                link.flush(now);
            }
            if self.wait(&mut ready) && !self.obey() {
                return;
            }
            for &(link, index) in &ready {
                self.links[link].read(index, self.clock, &mut buffer);
            }
        }
    }

    /// Waits until a packet comes in or is due; lists the sockets to read, says whether there are
    /// orders.
    fn wait(&self, ready: &mut Vec<(usize, usize)>) -> bool {
        ready.clear();
        let mut sockets = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        let mut names = Vec::new();
        for (number, link) in self.links.iter().enumerate() {
            for (index, socket) in link.sockets().enumerate() {
                names.push((number, index));
                sockets.push(PollFd::new(socket, PollFlags::POLLIN));
            }
        }
        let due = self.links.iter().filter_map(LinkState::next).min();
        let timeout = due.map(|at| {
            TimeSpec::from(Duration::from_nanos(at.saturating_sub(self.clock.now() + LEAD)))
        });
        if ppoll(&mut sockets, timeout, None).is_err() {
            // Interrupted: whatever it was for will be seen in the next round.
            return false;
        }
        let readable = |s: &PollFd<'_>| s.any().unwrap_or(true);
        ready
            .extend(names.into_iter().zip(&sockets[1..]).filter(|(_, s)| readable(s)).map(|x| x.0));
        readable(&sockets[0])
    }

    /// Carries out all orders; false when it is time to stop.
    fn obey(&mut self) -> bool {
        // Cleared before the orders are read, so that none is missed.
        let _ = self.wake.read();
        loop {
            match self.orders.try_recv() {
                Ok(Order::Add(link)) => self.links.push(*link),
                Ok(Order::Cut { link, duration }) => {
                    let until = self.clock.now().saturating_add(duration.as_nanos() as u64);
                    self.links[link].cut(until);
                }
                Ok(Order::CutAt { link, bytes }) => self.links[link].cut_at(bytes),
                Ok(Order::Stop) | Err(mpsc::TryRecvError::Disconnected) => return false,
                Err(mpsc::TryRecvError::Empty) => return true,
            }
        }
    }
}
