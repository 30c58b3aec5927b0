//! Two endpoints over QUIC on loopback, and a long stream between them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use sotto_net::{Endpoint, Identity, Link, Profile, QuicLink};

use super::Through;
use crate::{
    Direction, Error, Network, Path,
    emulate::{Emulator, LinkPlan},
};

const DEADLINE: Duration = Duration::from_secs(20);

/// Bytes of a message of the stream, and how many.
const STREAM: (usize, u32) = (8 << 20, 8);

/// Streams: the fastest one counts, as only another program can make one slower.
const STREAMS: u32 = 4;

/// The emulated path's rate in bytes a second and delay in seconds: packets come one by one, as fast as
/// this machine may be asked to carry them.
const EMULATED: (f64, f64) = (300e6, 1e-4);

/// Two links that talk to each other, with what keeps them alive.
pub(super) struct Pair {
    pub(super) left: QuicLink,
    pub(super) right: QuicLink,
    _endpoints: [Endpoint; 2],
    _between: Option<Emulator>,
}

fn failed(e: sotto_net::Error) -> Error {
    Error::Io {
        what: "measure messages on loopback".into(),
        error: std::io::Error::other(e.to_string()),
    }
}

impl Pair {
    /// The network between them.
    pub(super) fn network(through: Through) -> Network {
        let direction = match through {
            Through::Loopback => Direction::FREE,
            Through::Emulator => Direction::new(EMULATED.0, EMULATED.1),
        };
        Network::uniform("calibration", Path::symmetric(direction))
    }

    pub(super) fn new(through: Through) -> Result<Self, Error> {
        let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let [a, b] = ["a", "b"].map(Identity::generate);
        let (a, b) = (a.map_err(failed)?, b.map_err(failed)?);
        let profile = match through {
            Through::Loopback => Profile::loopback(),
            Through::Emulator => Profile::lan(),
        };
        let bind = |own: &Identity, peer: &Identity| {
            let peers = [(peer.name().to_owned(), peer.certificate().clone())];
            Endpoint::bind(local, own, &peers, &peers, profile.clone()).map_err(failed)
        };
        let (left_end, right_end) = (bind(&a, &b)?, bind(&b, &a)?);
        let (address, between) = relay(through, left_end.local_addr())?;
        let (left, right) = thread::scope(|scope| {
            let left = scope.spawn(|| left_end.accept(DEADLINE));
            let right = right_end.connect(address, "a", DEADLINE);
            (left.join().expect("the other side does not panic"), right)
        });
        let (left, right) = (left.map_err(failed)?, right.map_err(failed)?);
        Ok(Self { left, right, _endpoints: [left_end, right_end], _between: between })
    }

    /// Seconds a byte of a long one-way stream, and seconds that the cores are busy with it, at both ends and
    /// between.
    pub(super) fn stream_byte(&mut self) -> Result<(f64, f64), Error> {
        let mut least = (f64::INFINITY, 0.0);
        for _ in 0..STREAMS {
            let stream = self.stream()?;
            least = if stream.0 < least.0 { stream } else { least };
        }
        Ok(least)
    }

    fn stream(&mut self) -> Result<(f64, f64), Error> {
        let Self { left, right, .. } = self;
        let (start, busy) = (Instant::now(), busy());
        thread::scope(|scope| {
            // As a batch travels: in pieces that the dealer gathers and the party joins.
            let other = scope.spawn(|| {
                let mut all = Vec::with_capacity(STREAM.0 * STREAM.1 as usize);
                for step in 0..STREAM.1 {
                    all.extend(left.recv(step, STREAM.0)?);
                }
                left.send(STREAM.1, vec![0])
            });
            let dealt = vec![1; STREAM.0];
            for step in 0..STREAM.1 {
                let mut piece = Vec::with_capacity(STREAM.0);
                piece.extend_from_slice(&dealt);
                right.send(step, piece)?;
            }
            right.recv(STREAM.1, 1)?;
            other.join().expect("the other side does not panic")
        })
        .map_err(failed)?;
        let bytes = STREAM.0 as f64 * f64::from(STREAM.1);
        Ok((start.elapsed().as_secs_f64() / bytes, (self::busy() - busy) / bytes))
    }
}

/// Seconds of all cores that this process has used.
#[cfg(unix)]
fn busy() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    t.tv_sec as f64 + 1e-9 * t.tv_nsec as f64
}

#[cfg(not(unix))]
fn busy() -> f64 {
    0.0
}

/// The address to connect to, and a relay that adds nothing but its own work.
fn relay(through: Through, target: SocketAddr) -> Result<(SocketAddr, Option<Emulator>), Error> {
    if through == Through::Loopback {
        return Ok((target, None));
    }
    let mut emulator = Emulator::start(1)?;
    let path = Pair::network(through).client_server;
    let listen = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let link = emulator.add(&LinkPlan { listen, target, path })?;
    Ok((link.address(), Some(emulator)))
}
