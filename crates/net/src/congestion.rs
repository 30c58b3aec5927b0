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
            queued: false,
            acknowledged: 0,
            lost: 0,
        })
    }
}

struct Closable {
    inner: Box<dyn Controller>,
    closes: Arc<AtomicBool>,
    endpoint_closes: Arc<AtomicBool>,
    /// Whether round trips take longer than the path does.
    queued: bool,
    /// Bytes acknowledged and lost lately: both are halved once for each window.
    acknowledged: u64,
    lost: u64,
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
        self.queued = rtt.get() > rtt.min() + (rtt.min() / 4).max(NOISE);
        self.acknowledged += bytes;
        if self.acknowledged > self.inner.window() {
            self.acknowledged /= 2;
            self.lost /= 2;
        }
        let bytes = if self.queued { bytes / SLOWLY } else { bytes };
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
        self.lost += lost_bytes;
        let sparse = lost_bytes > 0 && self.lost <= self.acknowledged / SPARSE + STRAY;
        if is_persistent || self.queued || !sparse {
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
            ..*self
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

    fn controller() -> Box<dyn Controller> {
        Arc::new(ClosableCubic::new(WINDOW, Arc::default())).build(Instant::now(), MTU as u16)
    }

    /// Acknowledges `bytes` in full packets at this round trip time.
    fn acknowledge(controller: &mut dyn Controller, bytes: u64, rtt: &RttEstimator) {
        let now = Instant::now();
        for _ in 0..bytes / MTU {
            controller.on_ack(now, now, MTU, false, rtt);
        }
    }

    #[test]
    fn a_window_doubles_in_a_round_trip_without_a_queue() {
        let mut controller = controller();
        acknowledge(&mut *controller, WINDOW, &RttEstimator::new(Duration::from_millis(40)));
        assert!(controller.window() > 2 * WINDOW - 2 * MTU);
    }

    #[test]
    fn sparse_loss_leaves_the_window_and_heavy_loss_does_not() {
        let mut controller = controller();
        let rtt = RttEstimator::new(Duration::from_millis(40));
        for _ in 0..20 {
            acknowledge(&mut *controller, 100 * MTU, &rtt);
            let before = controller.window();
            controller.on_congestion_event(Instant::now(), Instant::now(), false, MTU);
            assert_eq!(controller.window(), before, "1 %");
        }
        let before = controller.window();
        controller.on_congestion_event(Instant::now(), Instant::now(), false, WINDOW / 10);
        assert!(controller.window() < before);
    }

    #[test]
    fn marks_and_persistent_congestion_count_always() {
        for (persistent, lost) in [(false, 0), (true, MTU)] {
            let mut controller = controller();
            controller.on_congestion_event(Instant::now(), Instant::now(), persistent, lost);
            assert!(controller.window() < WINDOW);
        }
    }
}
