//! One direction of a QUIC connection as a formula.

use sotto_net::Profile;

use crate::{
    machine::Messages,
    network::{Direction, LOCAL_ROUND_TRIP},
};

/// Bytes of a packet that are not the message's: IP and UDP 28, QUIC header and tag about 30, stream
/// frame about 6.
const HEADERS: f64 = 64.0;

/// How long QUIC waits at least for an acknowledgement beyond the round trip before it sends the end
/// of a message again (RFC 9002: four deviations, and the peer's 25 ms).
const PROBE: f64 = 0.03;

/// One direction between two parties, and when it is free again.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    /// Seconds a payload byte.
    byte: f64,
    /// Payload bytes of a packet.
    packet: f64,
    delay: f64,
    jitter: f64,
    loss: f64,
    round_trip: f64,
    /// The first congestion window, bytes.
    window: f64,
    /// What the two systems add to each message.
    fixed: f64,
    free: f64,
}

impl Wire {
    pub(crate) fn new(there: &Direction, back: &Direction, messages: &Messages) -> Self {
        Self::with(there, back, messages.fixed, messages.byte)
    }

    /// The same where both hosts, and what emulates the path between them, share the cores of one
    /// machine: nothing that a byte costs overlaps with its transmission.
    pub(crate) fn shared(there: &Direction, back: &Direction, messages: &Messages) -> Self {
        let wire = Self::with(there, back, messages.fixed, 0.0);
        Self { byte: wire.byte + messages.byte, ..wire }
    }

    /// A wire for a long stream in one direction.
    pub(crate) fn stream(there: &Direction, back: &Direction, messages: &Messages) -> Self {
        Self::with(there, back, messages.fixed, messages.stream_byte)
    }

    fn with(there: &Direction, back: &Direction, fixed: f64, byte: f64) -> Self {
        // Our settings start at 1452 bytes of UDP payload, within any Ethernet.
        let packet = (there.mtu as f64).min(1480.0) - HEADERS;
        let overhead = (packet + HEADERS) / packet;
        let jitter = (there.jitter + back.jitter) / 2.0;
        let round_trip = there.delay + back.delay + jitter + fixed;
        let profile = if round_trip > LOCAL_ROUND_TRIP { Profile::wan() } else { Profile::lan() };
        Self {
            // The systems' own work overlaps with the transmission of what is already sent.
            byte: f64::max(overhead / there.rate, byte),
            packet,
            delay: there.delay,
            jitter: there.jitter,
            loss: there.loss,
            round_trip,
            window: profile.initial_window as f64,
            fixed,
            free: 0.0,
        }
    }

    /// A message of `bytes` that is queued at `time`: when it is there, and how long its
    /// transmission took, the wait for earlier messages included.
    pub(crate) fn carry(&mut self, time: f64, bytes: u64) -> (f64, f64) {
        let start = f64::max(time, self.free);
        self.free = start + self.transmission(bytes as f64);
        let extra = self.fixed + self.delay + self.expected_extra(bytes as f64);
        (self.free + extra, self.free - time)
    }

    /// Seconds in which `bytes` leave: at the link's rate, unless the congestion window (the transport
    /// profile's at first, doubled in every round trip that fills it) is smaller than the path holds.
    fn transmission(&self, bytes: f64) -> f64 {
        let (mut left, mut window, mut seconds) = (bytes, self.window, 0.0);
        while left > window && window * self.byte < self.round_trip {
            seconds += self.round_trip;
            left -= window;
            window *= 2.0;
        }
        seconds + left * self.byte
    }

    /// Expected jitter and repeats.
    fn expected_extra(&self, bytes: f64) -> f64 {
        let packets = (bytes / self.packet).ceil().max(1.0);
        // The last packet waits for the most delayed one among those that left just before it.
        let near = (self.jitter / (self.packet * self.byte).max(1e-9)).ceil().clamp(1.0, packets);
        let jitter = self.jitter * near / (near + 1.0);
        // A loss is seen when three later packets are acknowledged, at the end by a probe.
        let tail = packets.min(3.0);
        let middle = 1.0 - (1.0 - self.loss).powf(packets - tail);
        let end = 1.0 - (1.0 - self.loss).powf(tail);
        jitter + middle * self.round_trip + end * (self.round_trip + PROBE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(rate: f64, delay: f64) -> Wire {
        let d = Direction::new(rate, delay);
        Wire::new(&d, &d, &Messages::default())
    }

    #[test]
    fn a_message_takes_delay_and_its_bytes_with_their_headers() {
        let (arrival, transmission) = wire(12.5e6, 0.02).carry(1.0, 1_250_000);
        assert!((0.104..0.106).contains(&transmission), "{transmission}");
        assert!((arrival - 1.02 - transmission).abs() < 1e-9);
    }

    #[test]
    fn a_long_fat_path_pays_round_trips_until_the_window_fills_it() {
        // 100 MB/s and 200 ms hold 20 MB: 2, 4, 8 MiB, then the rest at the rate.
        let slow = wire(1e8, 0.1).carry(0.0, 40_000_000).1;
        let plain = 40e6 * wire(1e8, 0.1).byte;
        assert!(slow > plain + 0.3 && slow < plain + 0.6, "{slow} and {plain}");
        assert_eq!(wire(1e8, 0.001).carry(0.0, 40_000_000).1, plain);
    }

    #[test]
    fn loss_and_jitter_cost_on_average() {
        let clean = Direction::new(12.5e6, 0.02);
        let dirty = Direction { loss: 0.01, jitter: 0.004, ..clean.clone() };
        let at = |d: &Direction| Wire::new(d, d, &Messages::default()).carry(0.0, 100_000).0;
        let more = at(&dirty) - at(&clean);
        assert!((0.01..0.08).contains(&more), "{more}");
    }
}
