//! A UDP socket with its runtime thread: accepts pinned peers and connects to them.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quinn::{ConnectionError, Incoming, TokioRuntime, TransportConfig};
use rustls::pki_types::CertificateDer;
use rustls::sign::SingleCertAndKey;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::failure::{ABANDONED, Failure, connection_failure};
use crate::pinning::{self, Refused};
use crate::quic;
use crate::{Certificate, Error, Identity, Profile, QuicLink};

/// Handshakes under way and links not yet accepted, together.
const PENDING: usize = 64;
/// From so many on, a newcomer must first prove that it owns its address.
const WARY: usize = PENDING / 4;
/// A handshake that takes longer is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a closing endpoint waits for its last packets to leave.
const LINGER: Duration = Duration::from_millis(100);
/// Pause between attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);

type Peers = Arc<Vec<(String, Certificate)>>;
/// A link and its place among the pending.
type Pending = (QuicLink, OwnedSemaphorePermit);

/// One UDP socket that serves any number of links; dropping it closes them all.
pub struct Endpoint {
    quic: quinn::Endpoint,
    runtime: Handle,
    transport: Arc<TransportConfig>,
    key: Arc<SingleCertAndKey>,
    peers: Peers,
    profile: Profile,
    accepted: Mutex<mpsc::Receiver<Pending>>,
    refused: Arc<Refused>,
    local: SocketAddr,
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Opens the socket (port 0: any free one) and starts to listen for the pinned `peers`.
    ///
    /// # Errors
    /// [`Error::Io`] when the address cannot be had, [`Error::Config`] for settings or an identity
    /// that cannot be used.
    pub fn bind(
        addr: SocketAddr,
        identity: &Identity,
        peers: &[(String, Certificate)],
        profile: Profile,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the network runtime", &error))?;
        let transport = profile.transport()?;
        let refused = Arc::new(Refused::default());
        let key = pinning::key(identity)?;
        let pins = peers
            .iter()
            .map(|(_, certificate)| certificate.clone())
            .collect();
        let tls = pinning::server(Arc::clone(&key), pins, Arc::clone(&refused))?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
        server
            .transport_config(Arc::clone(&transport))
            .max_incoming(2 * PENDING)
            .migration(false);
        let socket = profile.socket(addr)?;
        let quic = {
            let _inside = runtime.enter();
            quinn::Endpoint::new(
                profile.endpoint()?,
                Some(server),
                socket,
                Arc::new(TokioRuntime),
            )
        }
        .map_err(|error| Error::io(format!("listen at {addr}"), &error))?;
        let local = quic
            .local_addr()
            .map_err(|error| Error::io("ask for the local address", &error))?;

        let peers: Peers = Arc::new(peers.to_vec());
        let (links, accepted) = mpsc::channel();
        let (close, closed) = oneshot::channel();
        let handle = runtime.handle().clone();
        let listener = Listener {
            peers: Arc::clone(&peers),
            profile: profile.clone(),
            links,
        };
        let listening = quic.clone();
        let thread = thread::Builder::new()
            .name("sotto-net".into())
            .spawn(move || {
                runtime.block_on(async {
                    let accepting = tokio::spawn(listener.run(listening.clone()));
                    // Either somebody asks for the end or the endpoint is gone: both end it.
                    let _ = closed.await;
                    accepting.abort();
                    listening.close(ABANDONED, &[]);
                    let _ = tokio::time::timeout(LINGER, listening.wait_idle()).await;
                });
            })
            .map_err(|error| Error::io("start the network thread", &error))?;
        Ok(Endpoint {
            quic,
            runtime: handle,
            transport,
            key,
            peers,
            profile,
            accepted: Mutex::new(accepted),
            refused,
            local,
            close: Some(close),
            thread: Some(thread),
        })
    }

    /// The address that peers connect to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Fingerprints of the last 16 certificates that were refused, oldest first.
    pub fn refused(&self) -> Vec<String> {
        self.refused.list()
    }

    /// The next pinned peer that connected; [`QuicLink::name`] tells which.
    ///
    /// # Errors
    /// [`Error::Deadline`] when nobody came in time.
    pub fn accept(&self, deadline: Duration) -> Result<QuicLink, Error> {
        let start = Instant::now();
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match accepted.recv_timeout(deadline.saturating_sub(start.elapsed())) {
                // A peer that gave up and came again leaves a dead link behind.
                Ok((link, _)) if link.is_dead() => {}
                Ok((link, _)) => return Ok(link),
                Err(RecvTimeoutError::Timeout) => {
                    let peer = format!("a peer that should connect to {}", self.local);
                    return Err(Error::Deadline {
                        peer,
                        step: 0,
                        waited: start.elapsed(),
                    });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(runtime_gone()),
            }
        }
    }

    /// Connects to the pinned peer `name` at `addr`, again and again while nobody listens there.
    ///
    /// # Errors
    /// [`Error::Identity`] at once when either side refuses the other's certificate,
    /// [`Error::Link`] when there was no answer until the deadline, [`Error::Config`] for a name
    /// that is not among the peers.
    pub fn connect(
        &self,
        addr: SocketAddr,
        name: &str,
        deadline: Duration,
    ) -> Result<QuicLink, Error> {
        let pinned = self.peers.iter().find(|(peer, _)| peer == name);
        let pinned = pinned.map(|(_, certificate)| certificate.clone());
        let pinned =
            pinned.ok_or_else(|| Error::Config(format!("no certificate is pinned for {name}")))?;
        let shown = Arc::new(Refused::default());
        let tls = pinning::client(Arc::clone(&self.key), pinned.clone(), Arc::clone(&shown))?;
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::clone(&self.transport));
        let dial = Dial {
            quic: self.quic.clone(),
            config,
            addr,
            name: name.into(),
            profile: self.profile.clone(),
        };
        let peer = format!("{name} ({addr})");
        let (answer, answered) = mpsc::channel();
        self.runtime.spawn(async move {
            let start = tokio::time::Instant::now();
            // The one who asked may have stopped waiting.
            let _ = answer.send(dial.until(start + deadline).await);
        });
        let failure = match answered.recv() {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(failure)) => failure,
            Err(_) => return Err(runtime_gone()),
        };
        match shown.list().pop() {
            Some(fingerprint) => {
                let pinned = pinned.fingerprint();
                let why = format!("it showed the certificate {fingerprint} and {pinned} is pinned");
                Err(Error::Identity { peer, why })
            }
            None => Err(failure.into_error(&peer, 0)),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed by its own thread.
            let _ = thread.join();
        }
    }
}

fn runtime_gone() -> Error {
    Error::Io {
        what: "use the network runtime".into(),
        why: "its thread has ended".into(),
    }
}

/// The connecting side of one link.
struct Dial {
    quic: quinn::Endpoint,
    config: quinn::ClientConfig,
    addr: SocketAddr,
    name: String,
    profile: Profile,
}

impl Dial {
    async fn until(self, deadline: tokio::time::Instant) -> Result<QuicLink, Failure> {
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
            quic::say_hello(&mut send).await?;
            quic::hear_hello(&mut recv).await?;
            Ok((send, recv))
        };
        let streams = tokio::time::timeout_at(deadline, hello)
            .await
            .map_err(|_| None)?
            .map_err(Some)?;
        Ok(QuicLink::start(
            connection,
            streams,
            self.name.clone(),
            &self.profile,
        ))
    }
}

/// The accepting side of all links.
struct Listener {
    peers: Peers,
    profile: Profile,
    links: mpsc::Sender<Pending>,
}

impl Listener {
    async fn run(self, quic: quinn::Endpoint) {
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
            let (peers, profile, links) = (
                Arc::clone(&self.peers),
                self.profile.clone(),
                self.links.clone(),
            );
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
    peers: &[(String, Certificate)],
    profile: &Profile,
) -> Result<QuicLink, Failure> {
    let connection = incoming.await.map_err(connection_failure)?;
    let shown = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let shown = shown.as_ref().and_then(|chain| chain.first());
    let name = shown.and_then(|shown| peers.iter().find(|(_, pin)| pin.der() == shown));
    let (name, _) =
        name.ok_or_else(|| Failure::Identity("it showed no pinned certificate".into()))?;
    let (mut send, mut recv) = connection.accept_bi().await.map_err(connection_failure)?;
    quic::hear_hello(&mut recv).await?;
    quic::say_hello(&mut send).await?;
    Ok(QuicLink::start(
        connection,
        (send, recv),
        name.clone(),
        profile,
    ))
}
