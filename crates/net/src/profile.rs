//! Transport settings by kind of network, from measurements.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use quinn::{
    AckFrequencyConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use socket2::{Domain, Protocol, Socket, Type};

use crate::congestion::ClosableCubic;
use crate::{Error, Limits};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The largest UDP payload: with a larger one the first full send, of ten, fails and the path counts as broken. The endpoint
/// keeps 2,048 times as many bytes to receive in.
const LARGEST: u16 = 6550;

/// Between two stateless resets: of an endpoint that listens, and of one that does not.
const OFTEN: Duration = Duration::from_millis(1);
const SELDOM: Duration = Duration::from_secs(3600);

/// Transport settings; start from [`Profile::loopback`], [`Profile::lan`] or [`Profile::wan`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// UDP payload of a packet, 1200 to 6550: ten of them must fit one offloaded send of 65,507 bytes.
    pub mtu: u16,
    /// Whether larger packets are probed for, from `mtu` up to this size.
    pub discover_mtu: Option<u16>,
    /// How much a peer may send ahead of us reading (bytes).
    pub receive_window: u64,
    /// How much may be in flight to a peer (bytes).
    pub send_window: u64,
    /// Initial congestion window (bytes).
    pub initial_window: u64,
    /// Kernel socket buffers asked for (bytes); the system may give less.
    pub socket_buffer: usize,
    /// Round-trip time assumed before one is measured.
    pub initial_rtt: Duration,
    /// How long a peer may hold an acknowledgement back.
    pub ack_delay: Option<Duration>,
    /// Packets that a peer may leave unacknowledged.
    pub ack_every: u32,
    /// A peer that is silent for so long is gone.
    pub idle: Duration,
    /// A link on which nothing moves asks so often for a sign of life: so soon a peer that was started again is
    /// noticed, which answers what it does not know with a stateless reset.
    pub ask: Duration,
    /// The first attempt to connect, before the next, longer one.
    pub attempt: Duration,
    /// Largest message accepted (bytes).
    pub max_frame: u64,
    /// Messages of one link taken into memory before they are asked for (bytes).
    pub prefetch: u64,
    /// And of all links together.
    pub prefetch_all: u64,
    /// Messages that may wait to be sent (bytes).
    pub queue_limit: u64,
    /// Accepted links at a time.
    pub limits: Limits,
    /// How long `recv` polls before it sleeps. 50 us doubled the round trip on two busy cores (from
    /// 20 to 60 us up to 120 us): worth a try only where each party has cores to spare.
    pub spin: Duration,
}

impl Profile {
    /// Parties on one machine.
    pub fn loopback() -> Self {
        Profile {
            mtu: 6500,
            discover_mtu: None,
            // Twice what is in flight: 64 MiB was no faster, and peers may fill it unasked.
            receive_window: 8 * MIB,
            // 0.8 GB/s instead of 0.6 at 64 MiB: what is in flight stays in the cache.
            send_window: 4 * MIB,
            initial_window: 4 * MIB,
            socket_buffer: 32 << 20,
            initial_rtt: Duration::from_millis(20),
            ack_delay: None,
            ack_every: 1,
            idle: Duration::from_secs(20),
            ask: Duration::from_millis(250),
            attempt: Duration::from_millis(500),
            max_frame: 256 * MIB,
            prefetch: 64 * MIB,
            prefetch_all: 256 * MIB,
            queue_limit: sotto_link::QUEUE_LIMIT,
            limits: Limits::default(),
            spin: Duration::ZERO,
        }
    }

    /// Parties on a local network: starts below 1500 bytes and probes for larger frames.
    pub fn lan() -> Self {
        Profile { mtu: 1452, discover_mtu: Some(6500), ..Profile::loopback() }
    }

    /// Parties far apart: a large initial window saves round trips, as far as the queue of a slow
    /// path takes it.
    pub fn wan() -> Self {
        Profile {
            mtu: 1452,
            // Even if a sixth of it is lost, fewer than 1024 gaps wait at the receiver.
            send_window: 8 * MIB,
            receive_window: 16 * MIB,
            initial_window: 2 * MIB,
            initial_rtt: Duration::from_millis(100),
            idle: Duration::from_secs(30),
            attempt: Duration::from_secs(3),
            ..Profile::loopback()
        }
    }

    /// One side's settings; `streams` is 1 where the peer opens the link's stream, else 0.
    pub(crate) fn transport(
        &self,
        streams: u32,
        endpoint_closes: Arc<AtomicBool>,
    ) -> Result<Arc<TransportConfig>, Error> {
        let varint = |what: &str, value: u64| {
            VarInt::from_u64(value)
                .map_err(|_| Error::Config(format!("{what} of {value} is too large")))
        };
        let idle = IdleTimeout::try_from(self.idle)
            .map_err(|_| Error::Config(format!("an idle time of {:?} is too long", self.idle)))?;
        for mtu in [Some(self.mtu), self.discover_mtu].into_iter().flatten() {
            if !(1200..=LARGEST).contains(&mtu) {
                let why = format!("an MTU of {mtu} is not within 1200 to {LARGEST}");
                return Err(Error::Config(why));
            }
        }
        if self.limits.per_name == 0 || self.limits.all == 0 {
            return Err(Error::Config("limits of 0 links: nobody could connect".into()));
        }
        let cubic = ClosableCubic::new(self.initial_window, endpoint_closes);
        let mut transport = TransportConfig::default();
        transport
            .initial_mtu(self.mtu)
            .mtu_discovery_config(self.discover_mtu.map(|upper| {
                let mut discovery = MtuDiscoveryConfig::default();
                discovery.upper_bound(upper);
                discovery
            }))
            .enable_segmentation_offload(true)
            .stream_receive_window(varint("a receive window", self.receive_window)?)
            .receive_window(varint("a receive window", self.receive_window)?)
            .send_window(self.send_window)
            .initial_rtt(self.initial_rtt)
            .congestion_controller_factory(Arc::new(cubic))
            .max_idle_timeout(Some(idle))
            .keep_alive_interval(Some(self.ask.min(self.idle / 4)))
            // One bidirectional stream per link, and nothing else.
            .max_concurrent_bidi_streams(VarInt::from_u32(streams))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None);
        if self.ack_every != 1 || self.ack_delay.is_some() {
            let mut acks = AckFrequencyConfig::default();
            acks.ack_eliciting_threshold(VarInt::from_u32(self.ack_every))
                .max_ack_delay(self.ack_delay);
            transport.ack_frequency_config(Some(acks));
        }
        Ok(Arc::new(transport))
    }

    /// `secret` outlives a restart: with the keys from it we answer packets of the process before us with that one's
    /// stateless resets (RFC 9000, 10.3), and its peers learn at once that it is gone.
    pub(crate) fn endpoint(
        &self,
        listens: bool,
        secret: &[u8; 32],
    ) -> Result<EndpointConfig, Error> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let marks = hmac::sign(&key, b"connection ids");
        let marks = u64::from_le_bytes(std::array::from_fn(|i| marks.as_ref()[i]));
        let mut config = EndpointConfig::new(Arc::new(key));
        // Strangers get none, and nobody needs any from an endpoint that does not listen.
        config
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(marks)))
            .min_reset_interval(if listens { OFTEN } else { SELDOM });
        config
            .max_udp_payload_size(LARGEST)
            .map_err(|error| Error::Config(format!("UDP payloads of {LARGEST} bytes: {error}")))?;
        Ok(config)
    }

    /// A bound UDP socket with large buffers.
    pub(crate) fn socket(&self, addr: SocketAddr) -> Result<UdpSocket, Error> {
        let open = || -> std::io::Result<Socket> {
            let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_nonblocking(true)?;
            socket.bind(&addr.into())?;
            Ok(socket)
        };
        let socket = open().map_err(|error| Error::io(format!("listen at {addr}"), &error))?;
        // A smaller buffer costs speed, not correctness: the first way that works will do.
        #[cfg(target_os = "linux")]
        let forced = {
            use rustix::net::sockopt::{
                set_socket_recv_buffer_size_force, set_socket_send_buffer_size,
            };
            set_socket_send_buffer_size(&socket, self.socket_buffer).is_ok()
                && set_socket_recv_buffer_size_force(&socket, self.socket_buffer).is_ok()
        };
        #[cfg(not(target_os = "linux"))]
        let forced = false;
        if !forced {
            let sizes = socket
                .set_recv_buffer_size(self.socket_buffer)
                .and_then(|()| socket.set_send_buffer_size(self.socket_buffer));
            if let Err(error) = sizes {
                tracing::warn!(%error, "the system refuses larger socket buffers");
            }
        }
        let got = socket.recv_buffer_size().unwrap_or(0) as u64;
        tracing::debug!(kib = got / KIB, "socket receive buffer");
        Ok(socket.into())
    }
}
