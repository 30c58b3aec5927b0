//! One direction of a path as a model: when a packet arrives, if it does.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::Direction;

/// Bytes of an IPv4 and a UDP header.
const HEADERS: usize = 28;

/// Least extra delay of a packet that others overtake, seconds.
const HELD: f64 = 1e-3;

/// What becomes of a packet; times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// Arrives then, after all packets before it.
    Arrives(u64),
    /// Arrives then; packets behind it do not wait for it.
    Overtaken(u64),
    /// The queue was full.
    Full,
    /// Lost on the way.
    Lost,
    /// Larger than the path takes.
    TooLarge,
}

/// A direction with what it remembers: until when it sends, and what arrived last.
pub(crate) struct Lane {
    direction: Direction,
    random: ChaCha8Rng,
    free: f64,
    last: u64,
}

impl Lane {
    pub fn new(direction: Direction, seed: u64) -> Self {
        Self { direction, random: ChaCha8Rng::seed_from_u64(seed), free: 0.0, last: 0 }
    }

    /// One-way delay, seconds.
    pub fn delay(&self) -> f64 {
        self.direction.delay
    }

    /// Bytes of the IP packet around this payload.
    pub fn size(payload: usize) -> usize {
        payload + HEADERS
    }

    /// Decides about a packet that came in at `now`, which may lie in the past: the times that
    /// follow depend on it alone, not on when they are asked for.
    pub fn admit(&mut self, now: u64, payload: usize) -> Fate {
        let Direction { delay, jitter, rate, loss, reorder, queue, mtu } = self.direction;
        let size = Self::size(payload);
        if size > mtu {
            return Fate::TooLarge;
        }
        let start = self.free.max(now as f64);
        if (start - now as f64) / 1e9 * rate + size as f64 > queue {
            return Fate::Full;
        }
        self.free = start + size as f64 / rate * 1e9;
        // A packet is lost behind the bottleneck: it has taken its time there.
        if self.happens(loss) {
            return Fate::Lost;
        }
        let mut at = self.free + delay * 1e9;
        if jitter > 0.0 {
            at += self.uniform() * jitter * 1e9;
        }
        if self.happens(reorder) {
            return Fate::Overtaken((at + (delay / 2.0).max(HELD) * 1e9) as u64);
        }
        self.last = self.last.max(at as u64);
        Fate::Arrives(self.last)
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.uniform() < share
    }

    /// Uniform in `[0, 1)`.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    /// A packet of 1000 bytes with its headers.
    const PAYLOAD: usize = 972;

    /// 1 MB/s, 20 ms: a packet of 1000 bytes takes 1 ms to send.
    fn slow() -> Direction {
        Direction { queue: 3000.0, ..Direction::new(1e6, 0.02) }
    }

    #[test]
    fn packets_leave_one_after_the_other_and_travel_together() {
        let mut lane = Lane::new(slow(), 1);
        assert_eq!(lane.admit(0, PAYLOAD), Fate::Arrives(21 * MS));
        assert_eq!(lane.admit(0, PAYLOAD), Fate::Arrives(22 * MS));
        assert_eq!(lane.admit(MS / 2, PAYLOAD), Fate::Arrives(23 * MS));
        assert_eq!(lane.admit(10 * MS, PAYLOAD), Fate::Arrives(31 * MS), "idle time is not saved");
    }

    #[test]
    fn the_queue_takes_so_many_bytes_and_empties_with_time() {
        let mut lane = Lane::new(slow(), 1);
        let fates: Vec<Fate> = (0..5).map(|_| lane.admit(0, PAYLOAD)).collect();
        assert_eq!(fates[2], Fate::Arrives(23 * MS));
        assert_eq!(fates[3..], [Fate::Full, Fate::Full]);
        assert_eq!(lane.admit(MS, PAYLOAD), Fate::Arrives(24 * MS));
    }

    #[test]
    fn larger_packets_than_the_path_takes_are_dropped() {
        let mut lane = Lane::new(slow(), 1);
        assert_eq!(lane.admit(0, 1473), Fate::TooLarge);
        assert!(matches!(lane.admit(0, 1472), Fate::Arrives(_)));
        let mut free = Lane::new(Direction::FREE, 1);
        assert_eq!(free.admit(5, 65_507), Fate::Arrives(5));
    }

    #[test]
    fn loss_and_reordering_have_their_share_and_follow_the_seed() {
        let direction = Direction { loss: 0.01, reorder: 0.02, ..Direction::new(1e9, 1e-3) };
        let run = |seed| {
            let mut lane = Lane::new(direction.clone(), seed);
            (0..100_000).map(|i| lane.admit(i * MS, PAYLOAD)).collect::<Vec<_>>()
        };
        let fates = run(7);
        let count = |f: &dyn Fn(&Fate) -> bool| fates.iter().filter(|x| f(x)).count() as f64;
        let lost = count(&|f| *f == Fate::Lost) / 1e5;
        let overtaken = count(&|f| matches!(f, Fate::Overtaken(_))) / 1e5;
        assert!((lost - 0.01).abs() < 0.0015, "{lost}");
        assert!((overtaken - 0.02).abs() < 0.002, "{overtaken}");
        assert_eq!(fates, run(7));
        assert_ne!(fates, run(8));
    }

    #[test]
    fn jitter_spreads_arrivals_without_overtaking() {
        let mut lane = Lane::new(Direction { jitter: 5e-3, ..Direction::new(1e9, 1e-3) }, 3);
        let mut last = 0;
        let mut extra = Vec::new();
        for i in 0..2000 {
            let Fate::Arrives(at) = lane.admit(i * MS, PAYLOAD) else { panic!("no loss was set") };
            assert!(at >= last);
            last = at;
            extra.push((at - i * MS) as f64 / 1e6 - 1.001);
        }
        let largest = extra.iter().copied().fold(0.0, f64::max);
        assert!(extra.iter().all(|x| *x > -0.01) && largest > 4.5 && largest < 5.01, "{largest}");
    }
}
