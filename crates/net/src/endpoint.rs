//! A UDP socket with its runtime thread: accepts pinned peers and connects to them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quinn::{TokioRuntime, TransportConfig};
use rustls::sign::SingleCertAndKey;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::failure::ABANDONED;
use crate::handshake::{Dial, Listener, PENDING, Peers, Pending};
use crate::pinning::{self, Refused};
use crate::{Certificate, Error, Identity, Profile, QuicLink};

/// How long a closing endpoint waits for its last packets to leave.
const LINGER: Duration = Duration::from_millis(100);
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
        let closes = Arc::new(AtomicBool::new(false));
        let transport = profile.transport(Arc::clone(&closes))?;
        let refused = Arc::new(Refused::default());
        let key = pinning::key(identity)?;
        let pins = peers.iter().map(|(_, certificate)| certificate.clone()).collect();
        let tls = pinning::server(Arc::clone(&key), pins, Arc::clone(&refused))?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
        server
            .transport_config(Arc::clone(&transport))
            .max_incoming(2 * PENDING)
            .incoming_buffer_size(64 << 10)
            .incoming_buffer_size_total(2 << 20)
            .migration(false);
        let socket = profile.socket(addr)?;
        let quic = {
            let _inside = runtime.enter();
            quinn::Endpoint::new(profile.endpoint()?, Some(server), socket, Arc::new(TokioRuntime))
        }
        .map_err(|error| Error::io(format!("listen at {addr}"), &error))?;
        let local =
            quic.local_addr().map_err(|error| Error::io("ask for the local address", &error))?;

        let peers: Peers = Arc::new(peers.to_vec());
        let (links, accepted) = mpsc::channel();
        let (close, closed) = oneshot::channel();
        let handle = runtime.handle().clone();
        let listener = Listener { peers: Arc::clone(&peers), profile: profile.clone(), links };
        let listening = quic.clone();
        let thread = thread::Builder::new()
            .name("sotto-net".into())
            .spawn(move || {
                prefer_this_thread();
                runtime.block_on(async {
                    let accepting = tokio::spawn(listener.run(listening.clone()));
                    // Either somebody asks for the end or the endpoint is gone: both end it.
                    let _ = closed.await;
                    accepting.abort();
                    closes.store(true, Ordering::Relaxed);
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
                // A peer that gave up and came again leaves a broken link behind.
                Ok((link, _)) if link.is_broken() => {}
                Ok((link, _)) => return Ok(link),
                Err(RecvTimeoutError::Timeout) => {
                    let peer = format!("a peer that should connect to {}", self.local);
                    return Err(Error::Deadline { peer, step: 0, waited: start.elapsed() });
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

fn runtime_gone() -> Error {
    Error::Io { what: "use the network runtime".into(), why: "its thread has ended".into() }
}
