//! A link: one address that clients connect to, and a flow to the target for each of them.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use bytes::Bytes;

use super::lane::Lane;
use super::way::{Counters, Packet, Way};
use super::wire::{Clock, Received, Wire};
use super::{Counts, LinkPlan};

/// Clients of one link at a time.
const FLOWS: usize = 64;

/// A client that was silent for so long may lose its place to another.
const IDLE: u64 = 60_000_000_000;

/// Reads of one socket in a row.
const READS: usize = 16;

/// What anybody may read about a link.
#[derive(Default)]
pub(crate) struct Meters {
    pub up: Counters,
    pub down: Counters,
}

impl Meters {
    pub fn read(&self) -> [Counts; 2] {
        [self.up.read(), self.down.read()]
    }
}

/// A client as the target sees it.
struct Flow {
    client: SocketAddr,
    upstream: Wire,
    active: u64,
}

pub(crate) struct LinkState {
    front: Wire,
    target: SocketAddr,
    flows: Vec<Flow>,
    up: Way,
    down: Way,
    /// Nothing passes until then.
    cut: u64,
    /// Nothing passes once one direction has carried so many bytes.
    most: [u64; 2],
    pub meters: Arc<Meters>,
}

impl LinkState {
    pub fn new(plan: &LinkPlan, seed: u64) -> io::Result<Self> {
        Ok(Self {
            front: Wire::bind(plan.listen)?,
            target: plan.target,
            flows: Vec::new(),
            up: Way::new(Lane::new(plan.path.up.clone(), seed)),
            down: Way::new(Lane::new(plan.path.down.clone(), seed ^ 1)),
            cut: 0,
            most: [u64::MAX; 2],
            meters: Arc::default(),
        })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.front.local_addr()
    }

    /// Nothing that comes in until then passes, whatever was said before.
    pub fn cut(&mut self, until: u64) {
        self.cut = until;
        self.most = [u64::MAX; 2];
    }

    /// Nothing passes once the way up or the way down has carried so many bytes in all.
    pub fn cut_at(&mut self, bytes: [u64; 2]) {
        self.most = bytes;
    }

    fn is_cut(&self, now: u64) -> bool {
        let carried = [&self.meters.up, &self.meters.down].map(Counters::bytes);
        now < self.cut || carried.iter().zip(self.most).any(|(bytes, most)| *bytes >= most)
    }

    /// The sockets, the one for clients first.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.front.as_fd()).chain(self.flows.iter().map(|f| f.upstream.as_fd()))
    }

    /// Reads socket number `index` of [`LinkState::sockets`].
    pub fn read(&mut self, index: usize, clock: Clock, buffer: &mut [u8]) {
        for _ in 0..READS {
            let wire = match index {
                0 => &mut self.front,
                _ => &mut self.flows[index - 1].upstream,
            };
            let Some(got) = wire.receive(buffer) else { return };
            let now = clock.came(got.age);
            let flow = match index {
                0 => got.from.and_then(|client| self.flow(client, now)),
                _ => Some(index - 1),
            };
            let Some(flow) = flow else { continue };
            self.flows[flow].active = now;
            let Received { len, stride, marks, overrun, .. } = got;
            let data = Bytes::copy_from_slice(&buffer[..len]);
            let mut start = 0;
            // An empty datagram is one, too.
            while start < len.max(1) {
                let end = (start + stride.max(1)).min(len);
                let packet = Packet { at: 0, flow, marks, data: data.slice(start..end) };
                let cut = self.is_cut(now);
                let (way, counters) = self.way(index);
                way.admit(now, cut, packet, counters);
                start += stride.max(1);
            }
            self.way(index).1.overrun(overrun);
        }
    }

    /// The direction of what comes in at socket number `index`.
    fn way(&mut self, index: usize) -> (&mut Way, &Counters) {
        match index {
            0 => (&mut self.up, &self.meters.up),
            _ => (&mut self.down, &self.meters.down),
        }
    }

    /// The client's flow, a new one if it may have one.
    fn flow(&mut self, client: SocketAddr, now: u64) -> Option<usize> {
        if let Some(known) = self.flows.iter().position(|f| f.client == client) {
            return Some(known);
        }
        let place = if self.flows.len() < FLOWS {
            self.flows.len()
        } else {
            let (oldest, flow) = self.flows.iter().enumerate().min_by_key(|(_, f)| f.active)?;
            let busy = self.up.holds(oldest) || self.down.holds(oldest);
            if busy || now.saturating_sub(flow.active) < IDLE {
                return None;
            }
            oldest
        };
        let flow = Flow { client, upstream: Wire::connect(self.target).ok()?, active: now };
        if place == self.flows.len() {
            self.flows.push(flow);
        } else {
            self.flows[place] = flow;
        }
        Some(place)
    }

    /// When [`LinkState::flush`] should be called next.
    pub fn next(&self) -> Option<u64> {
        match (self.up.next(), self.down.next()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Hands on what has arrived by `now`.
    pub fn flush(&mut self, now: u64) {
        let (flows, front) = (&self.flows, &self.front);
        let mut to_target = |flow: usize, packets: &[IoSlice<'_>], marks: u8| {
            flows[flow].upstream.send(None, packets, marks)
        };
        self.up.flush(now, &mut to_target, &self.meters.up);
        let mut to_client = |flow: usize, packets: &[IoSlice<'_>], marks: u8| {
            front.send(Some(flows[flow].client), packets, marks)
        };
        self.down.flush(now, &mut to_client, &self.meters.down);
    }
}
