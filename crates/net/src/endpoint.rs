//! A UDP socket with its runtime thread: connects to pinned peers and accepts others.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use quinn::{TokioRuntime, TransportConfig};
use rustls::sign::SingleCertAndKey;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::budget::Budget;
use crate::congestion;
use crate::failure::{ABANDONED, PINNED, REASON};
use crate::handshake::{Dial, Listener, closed};
use crate::limits::Seats;
use crate::peers::Peers;
use crate::pinning::{self, Refused};
use crate::places::PENDING;
use crate::quic::Shared;
use crate::{Certificate, Error, Identity, Profile, QuicLink, printable};
use sotto_link::CONNECTING;

/// How long a closing endpoint waits for its last packets to leave.
const LINGER: Duration = Duration::from_millis(100);

/// One UDP socket that serves any number of links; dropping it closes them all.
pub struct Endpoint {
    quic: quinn::Endpoint,
    runtime: Handle,
    transport: Arc<TransportConfig>,
    key: Arc<SingleCertAndKey>,
    peers: Arc<Peers>,
    seats: Seats,
    shared: Shared,
    /// None where nobody may connect.
    accepted: Option<Mutex<mpsc::Receiver<QuicLink>>>,
    refused: Arc<Refused>,
    local: SocketAddr,
    closes: Arc<AtomicBool>,
    turns_away: Arc<AtomicBool>,
    close: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Endpoint {
    /// Opens the socket (port 0: any free one) for connections to the pinned peers `dial` and from
    /// the pinned peers `accept`.
    ///
    /// # Security
    /// Whoever is on one list alone is a stranger on the other side. With an empty `accept` there
    /// is nothing that listens: what comes in unasked is dropped before anything is kept of it.
    ///
    /// # Errors
    /// [`Error::Io`] when the address cannot be had, [`Error::Config`] for settings or an identity
    /// that cannot be used, for malformed names, and for a certificate or key that two names share.
    pub fn bind(
        addr: SocketAddr,
        identity: &Identity,
        dial: &[(String, Certificate)],
        accept: &[(String, Certificate)],
        profile: Profile,
    ) -> Result<Self, Error> {
        let peers = Arc::new(Peers::new(identity, dial, accept)?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the network runtime", &error))?;
        let closes = Arc::new(AtomicBool::new(false));
        let transport = profile.transport(0, Arc::clone(&closes))?;
        let refused = Arc::new(Refused::default());
        let key = pinning::key(identity)?;
        let server = if accept.is_empty() {
            None
        } else {
            let tls = pinning::server(Arc::clone(&key), Arc::clone(&peers), Arc::clone(&refused))?;
            Some(server(tls, profile.transport(1, Arc::clone(&closes))?))
        };
        let listens = server.is_some();
        let socket = profile.socket(addr)?;
        let local =
            socket.local_addr().map_err(|error| Error::io("ask for the local address", &error))?;
        tracing::info!("socket {local}, {} may connect", accept.len());
        // Another process with the same key resets no links of ours.
        let secret = identity.secret(&format!("stateless resets at {local}"));
        let quic = {
            let _inside = runtime.enter();
            let config = profile.endpoint(listens, &secret)?;
            quinn::Endpoint::new(config, server, socket, Arc::new(TokioRuntime))
        }
        .map_err(|error| Error::io(format!("listen at {addr}"), &error))?;

        let (links, accepted) = mpsc::channel();
        let (close, closed) = oneshot::channel();
        let handle = runtime.handle().clone();
        let budget = Budget::new(profile.prefetch_all);
        let shared = Shared { profile, budget };
        let seats = Seats::new(shared.profile.limits);
        let listener = Listener {
            peers: Arc::clone(&peers),
            seats: seats.clone(),
            shared: shared.clone(),
            links,
            turns_away: Arc::default(),
        };
        let turns_away = Arc::clone(&listener.turns_away);
        let (listening, closing) = (quic.clone(), Arc::clone(&closes));
        let thread = thread::Builder::new()
            .name("sotto-net".into())
            .spawn(move || {
                prefer_this_thread();
                runtime.block_on(async {
                    let accepting = listens.then(|| tokio::spawn(listener.run(listening.clone())));
                    // Either somebody asks for the end or the endpoint is gone: both end it.
                    let _ = closed.await;
                    accepting.inspect(JoinHandle::abort);
                    closing.store(true, Ordering::Relaxed);
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
            seats,
            shared,
            accepted: listens.then(|| Mutex::new(accepted)),
            refused,
            local,
            closes,
            turns_away,
            close: Some(close),
            thread: Some(thread),
        })
    }

    /// The address that peers connect to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes other lists of pinned peers from now on. Links of those who are no longer accepted with the certificate that they
    /// showed are closed; all others stay.
    ///
    /// # Errors
    /// [`Error::Config`] as at [`Endpoint::bind`], and where nobody could connect before; then nothing is changed.
    pub fn replace_peers(
        &self,
        identity: &Identity,
        dial: &[(String, Certificate)],
        accept: &[(String, Certificate)],
    ) -> Result<(), Error> {
        if self.accepted.is_none() && !accept.is_empty() {
            return Err(Error::Config(
                "this endpoint does not listen: nobody can be accepted".into(),
            ));
        }
        self.peers.replace(identity, dial, accept)?;
        for link in self.seats.unwelcome(|shown| self.peers.named(shown).is_some()) {
            congestion::close(&link, ABANDONED, b"it may not connect here any more");
        }
        Ok(())
    }

    /// Turns newcomers away from now on: they try again until their deadline, and find whoever comes after us.
    pub fn turn_away(&self) {
        self.turns_away.store(true, Ordering::Relaxed);
    }

    /// Closes every link and connects and accepts no more; peers see `why` (200 characters at most). Waits a moment
    /// until they are told, so that the process may end after it.
    ///
    /// Dropping the endpoint does the same without a reason.
    pub fn close(&self, why: &str) {
        self.closes.store(true, Ordering::Relaxed);
        self.quic.close(ABANDONED, printable(why, REASON).as_bytes());
        let quic = self.quic.clone();
        let (told, wait) = mpsc::channel::<()>();
        self.runtime.spawn(async move {
            let _ = tokio::time::timeout(LINGER, quic.wait_idle()).await;
            drop(told);
        });
        // Ends when the task does, or the runtime with it.
        let _ = wait.recv();
    }

    /// Fingerprints of the last 16 certificates that were refused, oldest first.
    pub fn refused(&self) -> Vec<String> {
        self.refused.list()
    }

    /// The next pinned peer that connected; [`QuicLink::name`] tells which.
    ///
    /// # Errors
    /// [`Error::Deadline`] when nobody came in time, [`Error::Config`] at once where nobody may
    /// connect, [`Error::Io`] at once when the endpoint is closed.
    pub fn accept(&self, deadline: Duration) -> Result<QuicLink, Error> {
        let start = Instant::now();
        let accepted = self.accepted.as_ref().ok_or_else(|| {
            Error::Config("nobody may connect to this endpoint: it has no peers to accept".into())
        })?;
        let accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match accepted.recv_timeout(deadline.saturating_sub(start.elapsed())) {
                // A peer that gave up and came again leaves a broken link behind.
                Ok(link) if link.is_broken() => {}
                Ok(link) => return Ok(link),
                Err(RecvTimeoutError::Timeout) => {
                    let peer = format!("a peer that should connect to {}", self.local);
                    return Err(Error::Deadline {
                        peer,
                        step: CONNECTING,
                        waited: start.elapsed(),
                    });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(closed()),
            }
        }
    }

    /// Connects to the pinned peer `name` at `addr`, again and again while nobody listens there.
    ///
    /// # Errors
    /// [`Error::Identity`] at once when either side refuses the other's certificate,
    /// [`Error::Busy`] at once when the peer has as many links as it allows, [`Error::Link`] when
    /// there was no answer until the deadline, [`Error::Config`] for a name that is not among the
    /// peers to dial, [`Error::Io`] at once when the endpoint is closed.
    pub fn connect(
        &self,
        addr: SocketAddr,
        name: &str,
        deadline: Duration,
    ) -> Result<QuicLink, Error> {
        let pinned = self.peers.to_dial(name);
        if pinned.is_empty() {
            return Err(Error::Config(format!("no certificate is pinned for dialling {name}")));
        }
        let shown = Arc::new(Refused::default());
        let tls = pinning::client(Arc::clone(&self.key), pinned.clone(), Arc::clone(&shown))?;
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::clone(&self.transport));
        let dial = Dial {
            quic: self.quic.clone(),
            config,
            addr,
            name: name.into(),
            shared: self.shared.clone(),
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
            Err(_) => return Err(closed()),
        };
        match shown.list().pop() {
            Some(fingerprint) => {
                let pinned: Vec<_> = pinned.iter().map(Certificate::fingerprint).collect();
                let pinned = pinned.join(" or ");
                let why = format!("it showed the certificate {fingerprint} and {pinned} is pinned");
                Err(Error::Identity { peer, why, remedy: PINNED })
            }
            None => Err(failure.into_error(&peer, CONNECTING)),
        }
    }
}

/// The accepting side's settings.
fn server(
    tls: quinn::crypto::rustls::QuicServerConfig,
    transport: Arc<TransportConfig>,
) -> quinn::ServerConfig {
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
    server
        .transport_config(transport)
        .max_incoming(2 * PENDING)
        .incoming_buffer_size(64 << 10)
        .incoming_buffer_size_total(2 << 20)
        .migration(false);
    server
}

/// Lets the network's thread go before those that compute, where the system grants it: it needs little time, and
/// the peer waits for it. On two cores that are shared by two parties an evaluation takes 8 % less.
fn prefer_this_thread() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, -10) {
        tracing::debug!(%error, "the network's thread has no priority over others");
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
