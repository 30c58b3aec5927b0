//! How precise the emulator is on this machine.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{Clock, LARGEST, Wire};
use super::{Emulator, LinkPlan};
use crate::{Direction, Error, Path};

/// Payload of a probe, unless it measures the delay alone: an Ethernet packet.
const PAYLOAD: usize = 1472;

/// Packets sent in one call.
const TRAIN: usize = 16;

/// Nothing takes longer on a path that works.
const PATIENCE: Duration = Duration::from_secs(5);

/// Two sockets with an emulated link between.
struct Pair {
    sender: Wire,
    receiver: Wire,
    _emulator: Emulator,
}

impl Pair {
    fn new(direction: &Direction) -> Result<Self, Error> {
        let io = |error| Error::Io { what: "open a socket on loopback".into(), error };
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let receiver = Wire::bind(local).map_err(io)?;
        let mut emulator = Emulator::start(1)?;
        let path = Path::symmetric(direction.clone());
        let target = receiver.local_addr().map_err(io)?;
        let link = emulator.add(&LinkPlan { listen: local, target, path })?;
        let sender = Wire::connect(link.address()).map_err(io)?;
        Ok(Self { sender, receiver, _emulator: emulator })
    }
}

fn nothing_came() -> Error {
    Error::Io {
        what: "probe the emulator".into(),
        error: std::io::Error::new(std::io::ErrorKind::TimedOut, "no packet came through"),
    }
}

/// Sends `count` single packets of `payload` bytes; gives what each took beyond what the direction
/// says, in seconds, sorted.
///
/// # Errors
/// [`Error::Io`] when nothing comes through.
pub fn delays(direction: &Direction, payload: usize, count: usize) -> Result<Vec<f64>, Error> {
    let mut pair = Pair::new(direction)?;
    let clock = Clock::start();
    let mut buffer = vec![0; LARGEST];
    let expected = direction.delay + super::lane::Lane::size(payload) as f64 / direction.rate;
    let packet = vec![7; payload];
    let mut errors = Vec::with_capacity(count);
    for round in 0..count + 1 {
        let sent = clock.now();
        pair.sender.send(None, &[IoSlice::new(&packet)], 0);
        let end = Instant::now() + PATIENCE;
        let got = loop {
            if let Some(got) = pair.receiver.receive(&mut buffer) {
                break got;
            }
            if Instant::now() > end {
                return Err(nothing_came());
            }
            thread::sleep(Duration::from_micros(50));
        };
        // The first one opens the flow.
        if round > 0 {
            errors.push((clock.came(got.age) - sent) as f64 / 1e9 - expected);
        }
    }
    errors.sort_by(f64::total_cmp);
    Ok(errors)
}

/// Offers a quarter more than the direction carries for `duration`; gives the bytes per second
/// that came through, headers included.
///
/// # Errors
/// [`Error::Io`] when nothing comes through.
pub fn rate(direction: &Direction, duration: Duration) -> Result<f64, Error> {
    let Pair { sender, mut receiver, _emulator } = Pair::new(direction)?;
    let size = super::lane::Lane::size(PAYLOAD) as f64;
    let offered = 1.25 * direction.rate;
    thread::scope(|scope| {
        scope.spawn(|| {
            let packet = [7; PAYLOAD];
            let (start, mut trains) = (Instant::now(), 0u64);
            while start.elapsed() < duration {
                sender.send(None, &[IoSlice::new(&packet); TRAIN], 0);
                trains += 1;
                let next = trains as f64 * TRAIN as f64 * size / offered;
                thread::sleep(Duration::from_secs_f64(next).saturating_sub(start.elapsed()));
            }
        });
        let clock = Clock::start();
        let mut buffer = vec![0; LARGEST];
        let (mut first, mut last, mut packets) = (0, 0, 0);
        let end = Instant::now() + duration;
        while Instant::now() < end {
            let Some(got) = receiver.receive(&mut buffer) else {
                thread::sleep(Duration::from_micros(200));
                continue;
            };
            last = clock.came(got.age);
            match first {
                // The first train opens the measurement.
                0 => first = last,
                _ => packets += got.len.div_ceil(got.stride.max(1)),
            }
        }
        if packets == 0 {
            return Err(nothing_came());
        }
        Ok(packets as f64 * size / ((last - first) as f64 / 1e9))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Generous: test machines are busy. The example `precision` shows what is reached.

    #[test]
    fn a_delay_is_kept() {
        let direction = Direction::new(12.5e6, 0.01);
        let errors = delays(&direction, 100, 20).unwrap();
        assert!(errors[0] > -1e-4, "never early: {errors:?}");
        assert!(errors[10] < 2e-3, "{errors:?}");
    }

    #[test]
    fn a_rate_is_kept() {
        let measured = rate(&Direction::new(1.25e6, 0.001), Duration::from_secs(1)).unwrap();
        assert!((measured / 1.25e6 - 1.0).abs() < 0.05, "{measured}");
    }
}
