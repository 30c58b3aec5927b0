//! Cubic congestion control that keeps queues short, lives with sparse loss and lets a close through.
//!
//! *Short queues.* Slow start ends in the loss of half a window. quinn-proto 0.11.19 breaks a
//! connection off once more than 1024 gaps wait in a stream ("too many gaps in stream buffer"),
//! and repairing the loss costs round trips anyway. So growth slows down as soon as round trips
//! take clearly longer than the shortest one: a queue has built up, the path is full (the idea of
//! HyStart++, RFC 9406).
//!
//! *Sparse loss.* A few lost packets without a queue are noise, not congestion: answering each
//! would keep the window near nothing at 1 % loss. Up to 2 % of what was acknowledged is repaired
//! without a smaller window (the threshold of BBRv2, draft-cardwell-iccrg-bbr-congestion-control).
//!
//! quinn-proto 0.11.19 holds even CONNECTION_CLOSE back while stream data is pending and the
//! congestion window is full, and a closed connection takes in no acknowledgement that would make
//! room again: the peer would hear nothing until its idle timeout. So whoever closes opens the
//! window first; from then on the close is all that is ever sent.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn::{Connection, VarInt};
use quinn_proto::RttEstimator;

/// Beyond 32 bits quinn does not pace either.
const OPEN: u64 = 1 << 40;

/// Growth of a window while a queue stands: one part in so many each round trip.
const SLOWLY: u64 = 32;

/// Loss that is repaired without a smaller window: one byte in so many, and this much more.
const SPARSE: u64 = 50;
const STRAY: u64 = 4 * 1500;

/// A queue that is never taken for one: what timers and busy machines add.
const NOISE: Duration = Duration::from_millis(2);

/// Makes the controllers of one endpoint's connections.
pub(crate) struct ClosableCubic {
    cubic: Arc<CubicConfig>,
    endpoint_closes: Arc<AtomicBool>,
}

impl ClosableCubic {
    /// `endpoint_closes` is set before all connections are closed at once.
    pub fn new(initial_window: u64, endpoint_closes: Arc<AtomicBool>) -> Self {
        let mut cubic = CubicConfig::default();
        cubic.initial_window(initial_window);
        ClosableCubic { cubic: Arc::new(cubic), endpoint_closes }
    }
}

impl ControllerFactory for ClosableCubic {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Closable {
            inner: Arc::clone(&self.cubic).build(now, current_mtu),
            closes: Arc::default(),
            endpoint_closes: Arc::clone(&self.endpoint_closes),
            judge: Judge::default(),
        })
    }
}

struct Closable {
    inner: Box<dyn Controller>,
    closes: Arc<AtomicBool>,
    endpoint_closes: Arc<AtomicBool>,
    judge: Judge,
}

/// Tells a full path from a noisy one.
#[derive(Clone, Copy, Default)]
struct Judge {
    /// Whether round trips take longer than the path does.
    queued: bool,
    /// Bytes acknowledged and lost lately: both are halved once for each window.
    acknowledged: u64,
    lost: u64,
}

impl Judge {
    /// Takes note of acknowledged bytes; gives how many of them the window may grow by.
    fn growth(&mut self, bytes: u64, window: u64, rtt: Duration, shortest: Duration) -> u64 {
        self.queued = rtt > shortest + (shortest / 4).max(NOISE);
        self.acknowledged += bytes;
        if self.acknowledged > window {
            self.acknowledged /= 2;
            self.lost /= 2;
        }
        if self.queued { bytes / SLOWLY } else { bytes }
    }

    /// Takes note of lost bytes (none: a mark of the network); says whether that is congestion.
    fn congested(&mut self, lost: u64) -> bool {
        self.lost += lost;
        lost == 0 || self.queued || self.lost > self.acknowledged / SPARSE + STRAY
    }
}

/// Closes a connection at once, whatever is still queued on it.
pub(crate) fn close(connection: &Connection, code: VarInt, reason: &[u8]) {
    if let Ok(state) = connection.congestion_state().into_any().downcast::<Closable>() {
        // The copy that quinn hands out shares this flag with the one in use.
        state.closes.store(true, Ordering::Relaxed);
    }
    connection.close(code, reason);
}

impl Controller for Closable {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        let bytes = self.judge.growth(bytes, self.inner.window(), rtt.get(), rtt.min());
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest: Option<u64>,
    ) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent: bool,
        lost_bytes: u64,
    ) {
        // Noted in any case.
        let congested = self.judge.congested(lost_bytes);
        if is_persistent || congested {
            self.inner.on_congestion_event(now, sent, is_persistent, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        let closes =
            self.closes.load(Ordering::Relaxed) || self.endpoint_closes.load(Ordering::Relaxed);
        if closes { OPEN } else { self.inner.window() }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Closable {
            inner: self.inner.clone_box(),
            closes: Arc::clone(&self.closes),
            endpoint_closes: Arc::clone(&self.endpoint_closes),
            judge: self.judge,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u64 = 1452;
    const WINDOW: u64 = 1 << 20;

    const PATH: Duration = Duration::from_millis(40);

    #[test]
    fn growth_slows_down_at_a_queue() {
        let mut judge = Judge::default();
        assert_eq!(judge.growth(MTU, WINDOW, PATH + NOISE, PATH), MTU);
        let queued = judge.growth(MTU, WINDOW, PATH * 3 / 2, PATH);
        assert!(queued > 0 && queued < MTU / 20);
        let (busy, near) = (Duration::from_millis(1), Duration::from_micros(80));
        assert_eq!(judge.growth(MTU, WINDOW, busy, near), MTU, "a busy machine is no queue");
    }

    #[test]
    fn sparse_loss_is_noise_and_heavy_loss_is_not() {
        let mut judge = Judge::default();
        for _ in 0..100 {
            judge.growth(100 * MTU, WINDOW, PATH, PATH);
            assert!(!judge.congested(MTU), "1 %");
        }
        assert!(judge.congested(WINDOW / 10));
        let mut judge = Judge::default();
        let mut answered = 0;
        for _ in 0..100 {
            judge.growth(100 * MTU, WINDOW, PATH, PATH);
            answered += u32::from(judge.congested(4 * MTU));
        }
        assert!(answered > 90, "4 %: {answered}");
        let mut judge = Judge::default();
        judge.growth(100 * MTU, WINDOW, 2 * PATH, PATH);
        assert!(judge.congested(MTU), "a queue and a loss");
    }

    #[test]
    fn marks_and_persistent_congestion_count_always() {
        for (persistent, lost) in [(false, 0), (true, MTU)] {
            let cubic = Arc::new(ClosableCubic::new(WINDOW, Arc::default()));
            let mut controller = cubic.build(Instant::now(), MTU as u16);
            controller.on_congestion_event(Instant::now(), Instant::now(), false, MTU);
            assert_eq!(controller.window(), WINDOW, "one stray packet");
            controller.on_congestion_event(Instant::now(), Instant::now(), persistent, lost);
            assert!(controller.window() < WINDOW);
        }
    }
}
