//! A link over one persistent bidirectional QUIC stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ReadExactError, RecvStream, SendStream, WriteError};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::failure::{
    ABANDONED, FINISHED, Failure, STOPPED, io_failure, read_failure, stream_ended, write_failure,
};
use crate::frame::{FRAME_COST, Frame, HEADER, Header, Kind};
use crate::inbox::Inbox;
use crate::link::DEADLINE;
use crate::{Due, Error, Link, Profile, Traffic};

/// Payloads up to this size share one buffer with their header.
const SMALL: usize = 1024;

/// Frames handed to the transport at once.
const BATCH: usize = 64;

pub(crate) enum Outgoing {
    Frame(Header, Vec<u8>),
    /// Bytes as they are, for tests of what a hostile peer may send.
    #[cfg(test)]
    Raw(Vec<u8>),
}

/// A link to one peer over QUIC; its [`crate::Endpoint`] must outlive it.
pub struct QuicLink {
    connection: Connection,
    inbox: Arc<Inbox>,
    outbox: mpsc::UnboundedSender<Outgoing>,
    /// Bytes given to `outbox` that the transport has not taken yet.
    queued: Arc<AtomicU64>,
    name: String,
    queue_limit: u64,
    spin: Duration,
    deadline: Duration,
    traffic: Traffic,
    finished: bool,
}

impl QuicLink {
    /// Starts the reader and the writer; must be called inside the endpoint's runtime.
    pub(crate) fn start(
        connection: Connection,
        (send, recv): (SendStream, RecvStream),
        name: String,
        profile: &Profile,
    ) -> Self {
        let peer = format!("{name} ({})", connection.remote_address());
        let inbox = Arc::new(Inbox::new(peer));
        let queued = Arc::new(AtomicU64::new(0));
        let (outbox, outgoing) = mpsc::unbounded_channel();
        let reader = Reader {
            stream: recv,
            connection: connection.clone(),
            inbox: Arc::clone(&inbox),
            outbox: outbox.clone(),
            max_frame: profile.max_frame,
            prefetch: profile.prefetch,
        };
        tokio::spawn(reader.run());
        let (taken, failed) = (Arc::clone(&queued), Arc::clone(&inbox));
        tokio::spawn(async move {
            if let Err(error) = write_frames(send, outgoing, &taken).await {
                failed.fail(write_failure(error));
            }
        });
        QuicLink {
            connection,
            inbox,
            outbox,
            queued,
            name,
            queue_limit: profile.queue_limit,
            spin: profile.spin,
            deadline: DEADLINE,
            traffic: Traffic::default(),
            finished: false,
        }
    }

    /// Which pinned peer this is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The round-trip time that the transport estimates.
    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    fn take(&mut self, step: u32, due: Due) -> Result<Vec<u8>, Error> {
        let taken = self.inbox.take(step, due, self.deadline, self.spin);
        let payload = taken.inspect_err(|error| {
            if let Error::Desync { their_step, their_len, .. } = error {
                let why = format!("it was at step {step} ({due}) and we sent step {their_step} ({their_len} bytes)");
                self.connection.close(STOPPED, why.as_bytes());
            }
        })?;
        self.traffic.received(payload.len());
        Ok(payload)
    }

    #[cfg(test)]
    pub(crate) fn send_raw(&self, bytes: Vec<u8>) {
        let _ = self.outbox.send(Outgoing::Raw(bytes));
    }
}

impl Link for QuicLink {
    fn send(&mut self, step: u32, payload: Vec<u8>) -> Result<(), Error> {
        self.inbox.check(step)?;
        let len = payload.len() as u64;
        let queued = self.queued.load(Ordering::Relaxed) + len + FRAME_COST;
        if queued > self.queue_limit {
            let (peer, limit) = (self.peer().to_owned(), self.queue_limit);
            return Err(Error::Overflow {
                peer,
                step,
                queued,
                limit,
            });
        }
        self.queued.fetch_add(len + FRAME_COST, Ordering::Relaxed);
        self.traffic.sent(payload.len());
        let header = Header {
            kind: Kind::Message,
            step,
            len,
        };
        // The writer is gone only after a failure that the next call reports.
        let _ = self.outbox.send(Outgoing::Frame(header, payload));
        Ok(())
    }

    fn recv(&mut self, step: u32, len: usize) -> Result<Vec<u8>, Error> {
        self.take(step, Due::Exactly(len))
    }

    fn recv_upto(&mut self, step: u32, limit: usize) -> Result<Vec<u8>, Error> {
        self.take(step, Due::AtMost(limit))
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        Traffic {
            wire_sent: stats.udp_tx.bytes,
            wire_received: stats.udp_rx.bytes,
            ..self.traffic
        }
    }

    fn peer(&self) -> &str {
        self.inbox.peer()
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.finished {
            return Ok(());
        }
        let fin = Header::bare(Kind::Fin);
        let _ = self.outbox.send(Outgoing::Frame(fin, Vec::new()));
        self.inbox
            .await_fin(u32::MAX, self.traffic.messages_sent, self.deadline)?;
        self.finished = true;
        self.connection
            .close(FINISHED, &self.inbox.taken_in().to_le_bytes());
        Ok(())
    }
}

impl Drop for QuicLink {
    fn drop(&mut self) {
        if !self.finished {
            self.connection.close(ABANDONED, &[]);
        }
    }
}

async fn write_frames(
    mut stream: SendStream,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    queued: &AtomicU64,
) -> Result<(), WriteError> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut chunks = Vec::with_capacity(2 * BATCH);
    while outgoing.recv_many(&mut batch, BATCH).await > 0 {
        let mut taken = 0;
        for out in batch.drain(..) {
            match out {
                Outgoing::Frame(header, payload) => {
                    if header.kind == Kind::Message {
                        taken += header.len + FRAME_COST;
                    }
                    if payload.len() <= SMALL {
                        let mut whole = Vec::with_capacity(HEADER + payload.len());
                        whole.extend_from_slice(&header.encode());
                        whole.extend_from_slice(&payload);
                        chunks.push(Bytes::from(whole));
                    } else {
                        chunks.push(Bytes::copy_from_slice(&header.encode()));
                        chunks.push(Bytes::from(payload));
                    }
                }
                #[cfg(test)]
                Outgoing::Raw(bytes) => chunks.push(Bytes::from(bytes)),
            }
        }
        stream.write_all_chunks(&mut chunks).await?;
        chunks.clear();
        queued.fetch_sub(taken, Ordering::Relaxed);
    }
    Ok(())
}

struct Reader {
    stream: RecvStream,
    connection: Connection,
    inbox: Arc<Inbox>,
    outbox: mpsc::UnboundedSender<Outgoing>,
    max_frame: u64,
    prefetch: u64,
}

impl Reader {
    async fn run(mut self) {
        let Err(failure) = self.frames().await;
        if let Failure::Garbage(why) = &failure {
            self.connection.close(STOPPED, why.as_bytes());
        }
        self.inbox.fail(failure);
    }

    async fn frames(&mut self) -> Result<std::convert::Infallible, Failure> {
        loop {
            let mut head = [0; HEADER];
            self.stream
                .read_exact(&mut head)
                .await
                .map_err(|error| match error {
                    ReadExactError::FinishedEarly(_) => stream_ended(),
                    ReadExactError::ReadError(error) => read_failure(error),
                })?;
            let header = Header::decode(&head, self.max_frame).map_err(Failure::Garbage)?;
            match header.kind {
                Kind::Message => {
                    self.inbox.admit(header, self.prefetch).await;
                    let payload = self.payload(header.len).await?;
                    self.inbox.deliver(Frame {
                        step: header.step,
                        payload,
                    });
                }
                Kind::Fin => {
                    let _ = self
                        .outbox
                        .send(Outgoing::Frame(Header::bare(Kind::FinReceived), Vec::new()));
                }
                Kind::FinReceived => self.inbox.fin_received(),
                Kind::Hello => return Err(Failure::Garbage("a second hello".into())),
            }
        }
    }

    /// Reads an admitted payload; pages are touched only as bytes arrive.
    async fn payload(&mut self, len: u64) -> Result<Vec<u8>, Failure> {
        let capacity =
            usize::try_from(len).expect("the header was checked against the largest frame");
        let mut payload = Vec::with_capacity(capacity);
        let mut limited = (&mut self.stream).take(len);
        while payload.len() < capacity {
            match limited.read_buf(&mut payload).await {
                Ok(0) => return Err(stream_ended()),
                Ok(_) => {}
                Err(error) => return Err(io_failure(error)),
            }
        }
        Ok(payload)
    }
}

/// The endpoint may be dropped while we read: whoever waits must learn of it.
impl Drop for Reader {
    fn drop(&mut self) {
        self.inbox.fail(Failure::gone(
            "this side closed its endpoint",
            "keep it open while links are in use",
        ));
    }
}

/// The first frame each way.
pub(crate) async fn say_hello(stream: &mut SendStream) -> Result<(), Failure> {
    stream
        .write_all(&Header::bare(Kind::Hello).encode())
        .await
        .map_err(write_failure)
}

/// Reads the other side's first frame.
pub(crate) async fn hear_hello(stream: &mut RecvStream) -> Result<(), Failure> {
    let mut head = [0; HEADER];
    stream
        .read_exact(&mut head)
        .await
        .map_err(|error| match error {
            ReadExactError::FinishedEarly(_) => stream_ended(),
            ReadExactError::ReadError(error) => read_failure(error),
        })?;
    match Header::decode(&head, 0).map_err(Failure::Garbage)?.kind {
        Kind::Hello => Ok(()),
        _ => Err(Failure::Garbage("the first frame is not a hello".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Endpoint, Identity};

    const DEADLINE: Duration = Duration::from_secs(20);

    /// A victim with small budgets, a hostile but authenticated peer, and their endpoints.
    fn victim_and_attacker() -> (QuicLink, QuicLink, [Endpoint; 2]) {
        let (s, c) = (
            Identity::generate("server").unwrap(),
            Identity::generate("client").unwrap(),
        );
        let mut profile = Profile::loopback();
        (profile.max_frame, profile.prefetch) = (1 << 20, 1 << 16);
        let bind = |us: &Identity, peer: &Identity| {
            let peers = [(peer.name().to_owned(), peer.certificate().clone())];
            Endpoint::bind("127.0.0.1:0".parse().unwrap(), us, &peers, profile.clone()).unwrap()
        };
        let (server, client) = (bind(&s, &c), bind(&c, &s));
        let attacker = client
            .connect(server.local_addr(), "server", DEADLINE)
            .unwrap();
        let victim = server.accept(DEADLINE).unwrap();
        (victim, attacker, [server, client])
    }

    #[test]
    fn garbage_is_an_error_for_both() {
        let (mut victim, mut attacker, _endpoints) = victim_and_attacker();
        attacker.send_raw(vec![0xee; 100]);
        let error = victim.recv(3, 10).unwrap_err();
        assert!(
            matches!(&error, Error::Garbage { step: 3, why, .. } if why.contains("magic")),
            "{error}"
        );
        let error = attacker.recv(4, 1).unwrap_err();
        assert!(
            matches!(&error, Error::Link { why, .. } if why.contains("magic")),
            "{error}"
        );
        assert!(
            matches!(victim.send(5, vec![]), Err(Error::Garbage { .. })),
            "the link stays dead"
        );
    }

    #[test]
    fn hostile_headers_are_refused_before_they_cost_memory() {
        let message = |len| {
            Header {
                kind: Kind::Message,
                step: 3,
                len,
            }
            .encode()
            .to_vec()
        };
        let mut other_version = message(1);
        other_version[2] = 2;
        let cases = [
            (message(u64::MAX), "limit"),
            (message((1 << 20) + 1), "limit"),
            (other_version, "version 2"),
            (Header::bare(Kind::Hello).encode().to_vec(), "second hello"),
        ];
        for (bytes, why_part) in cases {
            let (mut victim, attacker, _endpoints) = victim_and_attacker();
            attacker.send_raw(bytes);
            let error = victim.recv(3, 10).unwrap_err();
            assert!(
                matches!(&error, Error::Garbage { why, .. } if why.contains(why_part)),
                "{error}"
            );
        }
    }

    #[test]
    fn a_header_without_its_payload_meets_the_deadline_and_can_still_complete() {
        let (mut victim, attacker, _endpoints) = victim_and_attacker();
        // Beyond the prefetch budget, so that it needs the receiver's grant.
        let len = 1 << 20;
        attacker.send_raw(
            Header {
                kind: Kind::Message,
                step: 3,
                len,
            }
            .encode()
            .to_vec(),
        );
        victim.set_deadline(Duration::from_millis(200));
        assert!(matches!(
            victim.recv(3, len as usize),
            Err(Error::Deadline { .. })
        ));
        attacker.send_raw(vec![7; len as usize]);
        victim.set_deadline(DEADLINE);
        assert_eq!(victim.recv(3, len as usize).unwrap(), vec![7; len as usize]);
    }

    #[test]
    fn a_peer_gone_within_a_payload_is_a_lost_link() {
        let (mut victim, attacker, _endpoints) = victim_and_attacker();
        attacker.send_raw(
            Header {
                kind: Kind::Message,
                step: 3,
                len: 1000,
            }
            .encode()
            .to_vec(),
        );
        attacker.send_raw(vec![7; 999]);
        drop(attacker);
        assert!(matches!(
            victim.recv(3, 1000).unwrap_err(),
            Error::Link { step: 3, .. }
        ));
    }

    #[test]
    fn empty_messages_are_not_free() {
        let (mut victim, mut attacker, _endpoints) = victim_and_attacker();
        let messages = 5000;
        for step in 0..messages {
            attacker.send(step, Vec::new()).unwrap();
        }
        attacker.set_deadline(Duration::from_millis(300));
        assert!(
            matches!(attacker.finish(), Err(Error::Deadline { .. })),
            "the victim has not taken them in"
        );
        assert!(victim.inbox.taken_in() <= (1 << 16) / FRAME_COST);
        for step in 0..messages {
            victim.recv(step, 0).unwrap();
        }
        attacker.set_deadline(DEADLINE);
        attacker.finish().unwrap();
    }
}
