//! How a link comes about: connecting, and welcoming those who connect.
//!
//! The client's handshake ends before the server has seen its certificate, so both say hello on
//! the stream: a link exists only once each side has taken the other's certificate.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use quinn::{ConnectError, ConnectionError, Incoming};
use rustls::pki_types::CertificateDer;

use crate::congestion;
use crate::failure::{BUSY, Failure, PINNED, connection_failure};
use crate::limits::Seats;
use crate::peers::Peers;
use crate::places::{PENDING, PER_ORIGIN, Places};
use crate::quic::Shared;
use crate::stream::{hear_hello, say_hello};
use crate::throttle::Throttle;
use crate::{Error, QuicLink};
use sotto_link::CONNECTING;

/// A newcomer has so long to show its certificate, and so long until the link stands.
const FIRST_FLIGHT: Duration = Duration::from_secs(3);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause between attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);
/// An attempt takes twice as long as the one before, up to this: a path may be longer than the profile expects.
const LONGEST: Duration = Duration::from_secs(3);

/// What those get who use an endpoint that is closed.
pub(crate) fn closed() -> Error {
    Error::Io { what: "use the endpoint".into(), why: "this side has closed it".into() }
}

/// The connecting side of one link.
pub(crate) struct Dial {
    pub quic: quinn::Endpoint,
    pub config: quinn::ClientConfig,
    pub addr: SocketAddr,
    pub name: String,
    pub shared: Shared,
}

impl Dial {
    pub async fn until(self, deadline: tokio::time::Instant) -> Result<QuicLink, Failure> {
        let mut last = Failure::gone(
            "nobody answers there",
            "start it, and check the address and the firewall",
        );
        let mut patience = self.shared.profile.attempt;
        loop {
            match self.once(deadline, patience).await {
                Ok(link) => return Ok(link),
                Err(Some(failure @ (Failure::Gone { .. } | Failure::Finished { .. }))) => {
                    last = failure;
                }
                Err(Some(fatal)) => return Err(fatal),
                Err(None) => patience = patience.max(LONGEST.min(2 * patience)),
            }
            if tokio::time::Instant::now() + PAUSE >= deadline {
                return Err(last);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One attempt; `Err(None)` is silence.
    async fn once(
        &self,
        deadline: tokio::time::Instant,
        patience: Duration,
    ) -> Result<QuicLink, Option<Failure>> {
        let connecting =
            self.quic.connect_with(self.config.clone(), self.addr, "sotto").map_err(|error| {
                match error {
                    ConnectError::EndpointStopping => Failure::Ours(closed()),
                    error => Failure::gone(error.to_string(), "check the address"),
                }
            })?;
        let patience = deadline.min(tokio::time::Instant::now() + patience);
        let connection = match tokio::time::timeout_at(patience, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(ConnectionError::TimedOut)) | Err(_) => return Err(None),
            Ok(Err(error)) => return Err(Some(connection_failure(error))),
        };
        // The peer has not seen our certificate yet: its hello says that it took it.
        let hello = async {
            let (mut send, mut recv) = connection.open_bi().await.map_err(connection_failure)?;
            say_hello(&mut send).await?;
            hear_hello(&mut recv).await?;
            Ok((send, recv))
        };
        let streams =
            tokio::time::timeout_at(deadline, hello).await.map_err(|_| None)?.map_err(Some)?;
        Ok(QuicLink::start(connection, streams, self.name.clone(), None, &self.shared))
    }
}

/// The accepting side of all links.
pub(crate) struct Listener {
    pub peers: Arc<Peers>,
    pub seats: Seats,
    pub shared: Shared,
    pub links: mpsc::Sender<QuicLink>,
    /// We are about to go: newcomers are refused.
    pub turns_away: Arc<AtomicBool>,
}

/// What a stranger's attempts may write into the log.
#[derive(Default)]
struct Lines {
    full: Throttle,
    failed: Throttle,
    evicted: Throttle,
}

impl Listener {
    pub async fn run(self, quic: quinn::Endpoint) {
        let listener = Arc::new(self);
        let (places, lines) = (Places::default(), Arc::new(Lines::default()));
        while let Some(incoming) = quic.accept().await {
            let remote = incoming.remote_address();
            if listener.turns_away.load(Ordering::Relaxed) {
                incoming.refuse();
                continue;
            }
            if places.is_wary(remote) && incoming.may_retry() {
                // It costs an honest peer one round trip.
                if let Err(error) = incoming.retry() {
                    tracing::debug!(%remote, %error, "cannot ask for an address proof");
                }
                continue;
            }
            let Some(mut place) = places.take(remote) else {
                if let Some(left_out) = lines.full.pass() {
                    tracing::warn!(%remote, left_out, "refused a connection: {PER_ORIGIN} of its address are under way");
                }
                incoming.refuse();
                continue;
            };
            let (listener, lines) = (Arc::clone(&listener), Arc::clone(&lines));
            tokio::spawn(async move {
                let welcomed = tokio::select! {
                    welcomed = listener.welcome(incoming) => welcomed,
                    () = place.evicted() => {
                        if let Some(left_out) = lines.evicted.pass() {
                            tracing::warn!(%remote, left_out, "dropped the oldest of {PENDING} handshakes under way for a newer one");
                        }
                        return;
                    }
                };
                match welcomed {
                    Ok(link) => {
                        tracing::debug!(peer = link.name(), %remote, "connected");
                        // Nobody accepts any more once the endpoint is gone.
                        let _ = listener.links.send(link);
                    }
                    Err(failure) => {
                        if let Some(left_out) = lines.failed.pass() {
                            let error = failure.into_error("a newcomer", CONNECTING);
                            tracing::warn!(%remote, %error, left_out, "a connection came to nothing");
                        }
                    }
                }
            });
        }
    }

    async fn welcome(&self, incoming: Incoming) -> Result<QuicLink, Failure> {
        let late = |_| Failure::gone("it is too slow", "look at the network");
        let until = tokio::time::Instant::now() + HANDSHAKE;
        let connection = tokio::time::timeout(FIRST_FLIGHT, incoming.into_future());
        let connection = connection.await.map_err(late)?.map_err(connection_failure)?;
        let shown = connection
            .peer_identity()
            .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let shown = shown.as_ref().and_then(|chain| chain.first());
        let stranger =
            || Failure::Identity { why: "it showed no pinned certificate", remedy: PINNED };
        let shown = shown.ok_or_else(stranger)?;
        let name = self.peers.named(shown).ok_or_else(stranger)?;
        let seat = self.seats.take(&name).map_err(|why| {
            congestion::close(&connection, BUSY, why.as_bytes());
            Failure::gone(why, "it was told so")
        })?;
        seat.sits(shown, &connection);
        // Whoever became a stranger from here on is found by its seat, who did before is found here.
        self.peers.named(shown).ok_or_else(stranger)?;
        let hellos = async {
            let (mut send, mut recv) = connection.accept_bi().await.map_err(connection_failure)?;
            hear_hello(&mut recv).await?;
            say_hello(&mut send).await?;
            Ok((send, recv))
        };
        let streams = tokio::time::timeout_at(until, hellos).await.map_err(late)??;
        Ok(QuicLink::start(connection, streams, name, Some(seat), &self.shared))
    }
}
