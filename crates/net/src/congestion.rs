//! Cubic congestion control that lets a close through.
//!
//! quinn-proto 0.11.19 holds even CONNECTION_CLOSE back while stream data is pending and the
//! congestion window is full, and a closed connection takes in no acknowledgement that would make
//! room again: the peer would hear nothing until its idle timeout. So whoever closes opens the
//! window first; from then on the close is all that is ever sent.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn::{Connection, VarInt};
use quinn_proto::RttEstimator;

/// Beyond 32 bits quinn does not pace either.
const OPEN: u64 = 1 << 40;

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
        })
    }
}

struct Closable {
    inner: Box<dyn Controller>,
    closes: Arc<AtomicBool>,
    endpoint_closes: Arc<AtomicBool>,
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
        self.inner.on_congestion_event(now, sent, is_persistent, lost_bytes);
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
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
