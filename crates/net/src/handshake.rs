//! How a link comes about: connecting, and welcoming those who connect.
//!
//! The client's handshake ends before the server has seen its certificate, so both say hello on
//! the stream: a link exists only once each side has taken the other's certificate.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use quinn::{ConnectionError, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::{Failure, connection_failure};
use crate::peers::Peers;
use crate::stream::{hear_hello, say_hello};
use crate::{Profile, QuicLink};

/// Handshakes under way and links not yet accepted, together.
pub(crate) const PENDING: usize = 64;
/// From so many on, a newcomer must first prove that it owns its address.
const WARY: usize = PENDING / 4;
/// A handshake that takes longer is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause between attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);

/// A link and its place among the pending.
pub(crate) type Pending = (QuicLink, OwnedSemaphorePermit);

/// The connecting side of one link.
pub(crate) struct Dial {
    pub quic: quinn::Endpoint,
    pub config: quinn::ClientConfig,
    pub addr: SocketAddr,
    pub name: String,
    pub profile: Profile,
}

impl Dial {
    pub async fn until(self, deadline: tokio::time::Instant) -> Result<QuicLink, Failure> {
        let mut last = Failure::gone(
            "nobody answers there",
            "start it, and check the address and the firewall",
        );
        loop {
            match self.once(deadline).await {
                Ok(link) => return Ok(link),
                Err(Some(fatal @ (Failure::Identity(_) | Failure::Garbage(_)))) => {
                    return Err(fatal);
                }
                Err(Some(failure)) => last = failure,
                Err(None) => {}
            }
            if tokio::time::Instant::now() + PAUSE >= deadline {
                return Err(last);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One attempt; `Err(None)` is silence.
    async fn once(&self, deadline: tokio::time::Instant) -> Result<QuicLink, Option<Failure>> {
        let connecting = self
            .quic
            .connect_with(self.config.clone(), self.addr, "sotto")
            .map_err(|error| Failure::gone(error.to_string(), "check the address"))?;
        let patience = deadline.min(tokio::time::Instant::now() + self.profile.attempt);
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
        Ok(QuicLink::start(connection, streams, self.name.clone(), &self.profile))
    }
}

/// The accepting side of all links.
pub(crate) struct Listener {
    pub peers: Arc<Peers>,
    pub profile: Profile,
    pub links: mpsc::Sender<Pending>,
}

impl Listener {
    pub async fn run(self, quic: quinn::Endpoint) {
        let places = Arc::new(Semaphore::new(PENDING));
        while let Some(incoming) = quic.accept().await {
            let remote = incoming.remote_address();
            if places.available_permits() < PENDING - WARY && incoming.may_retry() {
                // It costs an honest peer one round trip.
                if let Err(error) = incoming.retry() {
                    tracing::debug!(%remote, %error, "cannot ask for an address proof");
                }
                continue;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(%remote, "refused a connection: {PENDING} are pending");
                incoming.refuse();
                continue;
            };
            let (peers, profile, links) =
                (Arc::clone(&self.peers), self.profile.clone(), self.links.clone());
            tokio::spawn(async move {
                let welcomed =
                    tokio::time::timeout(HANDSHAKE, welcome(incoming, &peers, &profile)).await;
                match welcomed {
                    Ok(Ok(link)) => {
                        tracing::debug!(peer = link.name(), %remote, "connected");
                        // Nobody accepts any more once the endpoint is gone.
                        let _ = links.send((link, place));
                    }
                    Ok(Err(failure)) => {
                        let error = failure.into_error("a newcomer", 0);
                        tracing::warn!(%remote, %error, "a connection came to nothing");
                    }
                    Err(_) => tracing::warn!(%remote, "a handshake took longer than {HANDSHAKE:?}"),
                }
            });
        }
    }
}

async fn welcome(
    incoming: Incoming,
    peers: &Peers,
    profile: &Profile,
) -> Result<QuicLink, Failure> {
    let connection = incoming.await.map_err(connection_failure)?;
    let shown = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let shown = shown.as_ref().and_then(|chain| chain.first());
    let name = shown.and_then(|shown| peers.named(shown));
    let name = name.ok_or_else(|| Failure::Identity("it showed no pinned certificate".into()))?;
    let (mut send, mut recv) = connection.accept_bi().await.map_err(connection_failure)?;
    hear_hello(&mut recv).await?;
    say_hello(&mut send).await?;
    Ok(QuicLink::start(connection, (send, recv), name.to_owned(), profile))
}
