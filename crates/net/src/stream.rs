//! The two tasks of a QUIC link: frames out and frames in.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, ReadExactError, RecvStream, SendStream, WriteError};
use sotto_link::cost;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::backlog::Backlog;
use crate::budget::Budget;
use crate::congestion;
use crate::failure::{Failure, STOPPED, io_failure, read_failure, stream_ended, write_failure};
use crate::frame::{Frame, HEADER, Header, Kind};
use crate::inbox::Inbox;

/// Payloads up to this size share one buffer with their header. Whatever carries a seed is shorter.
const SMALL: usize = 1024;

/// Longest buffer that is handed to the transport: quinn counts one against its window for data in flight until the
/// whole of it is acknowledged, and a long one would stop the stream for a round trip.
const SEGMENT: usize = 128 << 10;

/// Frames handed to the transport at once.
const BATCH: usize = 64;

pub(crate) enum Outgoing {
    /// A frame in one buffer, wiped once the peer has it: seeds travel in such.
    Small { frame: Zeroizing<Vec<u8>>, cost: u64 },
    /// A message whose payload is handed over, not copied.
    Large(Header, Vec<u8>),
    /// Bytes as they are, for tests of what a hostile peer may send.
    #[cfg(test)]
    Raw(Vec<u8>),
}

impl Outgoing {
    /// A message of step `step`.
    pub fn message(step: u32, payload: Vec<u8>) -> Self {
        let header = Header { kind: Kind::Message, step, len: payload.len() as u64 };
        match payload.len() <= SMALL {
            true => Self::small(&header, &Zeroizing::new(payload), cost(header.len)),
            false => Self::Large(header, payload),
        }
    }

    /// A frame without payload.
    pub fn bare(kind: Kind) -> Self {
        Self::small(&Header::bare(kind), &[], 0)
    }

    fn small(header: &Header, payload: &[u8], cost: u64) -> Self {
        let mut frame = Zeroizing::new(Vec::with_capacity(HEADER + payload.len()));
        frame.extend_from_slice(&header.encode());
        frame.extend_from_slice(payload);
        Self::Small { frame, cost }
    }
}

/// Writes what is queued until the link is dropped.
pub(crate) async fn write_frames(
    mut stream: SendStream,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    backlog: &Backlog,
) -> Result<(), WriteError> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut chunks = Vec::with_capacity(2 * BATCH);
    while outgoing.recv_many(&mut batch, BATCH).await > 0 {
        let mut taken = 0;
        for out in batch.drain(..) {
            match out {
                Outgoing::Small { frame, cost } => {
                    taken += cost;
                    chunks.push(Bytes::from_owner(frame));
                }
                Outgoing::Large(header, payload) => {
                    taken += cost(header.len);
                    chunks.push(Bytes::copy_from_slice(&header.encode()));
                    let mut rest = Bytes::from(payload);
                    while rest.len() > SEGMENT {
                        chunks.push(rest.split_to(SEGMENT));
                    }
                    chunks.push(rest);
                }
                #[cfg(test)]
                Outgoing::Raw(bytes) => chunks.push(Bytes::from(bytes)),
            }
        }
        // Piece by piece, so that a sender who waits for room sees a slow peer move.
        let mut written = 0;
        while written < chunks.len() {
            let step = stream.write_chunks(&mut chunks[written..]).await?;
            written += step.chunks;
            let handed_on = taken.min(step.bytes as u64);
            taken -= handed_on;
            backlog.release(handed_on);
        }
        chunks.clear();
        backlog.release(taken);
    }
    Ok(())
}

/// Takes the peer's frames in; its fields are the link's.
pub(crate) struct Reader {
    pub stream: RecvStream,
    pub connection: Connection,
    pub inbox: Arc<Inbox>,
    pub outbox: mpsc::UnboundedSender<Outgoing>,
    pub max_frame: u64,
    pub prefetch: u64,
    pub budget: Budget,
}

impl Reader {
    pub async fn run(mut self) {
        let Err(failure) = self.frames().await;
        if let Failure::Garbage(why) = &failure {
            congestion::close(&self.connection, STOPPED, why.as_bytes());
        }
        self.inbox.fail(failure);
    }

    async fn frames(&mut self) -> Result<std::convert::Infallible, Failure> {
        loop {
            let mut head = [0; HEADER];
            self.stream.read_exact(&mut head).await.map_err(|error| match error {
                ReadExactError::FinishedEarly(_) => stream_ended(),
                ReadExactError::ReadError(error) => read_failure(error),
            })?;
            let header = Header::decode(&head, self.max_frame).map_err(Failure::Garbage)?;
            self.inbox.expect(header.kind).map_err(Failure::Garbage)?;
            match header.kind {
                Kind::Message => {
                    let held = self.inbox.admit(header, self.prefetch, &self.budget).await;
                    let payload = self.payload(header.len).await?;
                    self.inbox.deliver(Frame { step: header.step, payload, _held: held });
                }
                // At most once: the queue's limit does not count it.
                Kind::Fin => {
                    let _ = self.outbox.send(Outgoing::bare(Kind::FinReceived));
                }
                Kind::FinReceived | Kind::Hello => {}
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
    stream.write_all(&Header::bare(Kind::Hello).encode()).await.map_err(write_failure)
}

/// Reads the other side's first frame.
pub(crate) async fn hear_hello(stream: &mut RecvStream) -> Result<(), Failure> {
    let mut head = [0; HEADER];
    stream.read_exact(&mut head).await.map_err(|error| match error {
        ReadExactError::FinishedEarly(_) => stream_ended(),
        ReadExactError::ReadError(error) => read_failure(error),
    })?;
    match Header::decode(&head, 0).map_err(Failure::Garbage)?.kind {
        Kind::Hello => Ok(()),
        _ => Err(Failure::Garbage("the first frame is not a hello".into())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{Endpoint, Error, Identity, Link, Profile};

    const MAX_FRAME: u64 = 1 << 20;
    const DEADLINE: Duration = Duration::from_secs(20);

    /// The messages at the front of a stream, and whether what follows them is garbage (or not whole).
    pub fn read(mut bytes: &[u8]) -> (Vec<(u32, Vec<u8>)>, bool) {
        let (mut messages, mut fin_seen) = (Vec::new(), false);
        while let Some((head, rest)) = bytes.split_first_chunk::<HEADER>() {
            let Ok(Header { kind, step, len }) = Header::decode(head, MAX_FRAME) else {
                return (messages, true);
            };
            if kind == Kind::Hello || kind == Kind::FinReceived || fin_seen {
                return (messages, true);
            }
            fin_seen = kind == Kind::Fin;
            let Some((payload, rest)) = rest.split_at_checked(len as usize) else { break };
            if kind == Kind::Message {
                messages.push((step, payload.to_vec()));
            }
            bytes = rest;
        }
        (messages, false)
    }

    /// Whole frames of any kind, one of their bytes changed now and then, and noise.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let payload = prop::collection::vec(any::<u8>(), 0..2000);
        let message = (any::<u32>(), payload).prop_map(|(step, payload)| {
            let header = Header { kind: Kind::Message, step, len: payload.len() as u64 };
            [&header.encode()[..], &payload].concat()
        });
        let changed =
            (message.clone(), 0..HEADER, any::<u8>()).prop_map(|(mut frame, at, byte)| {
                frame[at] = byte;
                frame
            });
        let bare = prop::sample::select(vec![Kind::Fin, Kind::FinReceived, Kind::Hello])
            .prop_map(|kind| Header::bare(kind).encode().to_vec());
        let noise = prop::collection::vec(any::<u8>(), 1..40);
        prop_oneof![8 => message, 2 => changed, 1 => bare, 1 => noise]
    }

    #[test]
    fn any_bytes_are_messages_and_then_an_error() {
        let [s, c] = ["server", "client"].map(|name| Identity::generate(name).unwrap());
        let mut profile = Profile::loopback();
        (profile.max_frame, profile.prefetch) = (MAX_FRAME, 4000);
        let pin = |one: &Identity| [(one.name().to_owned(), one.certificate().clone())];
        let bind = |us: &Identity, dial: &[_], accept: &[_]| {
            let any_port = "127.0.0.1:0".parse().unwrap();
            Endpoint::bind(any_port, us, dial, accept, profile.clone()).unwrap()
        };
        let (server, client) = (bind(&s, &[], &pin(&c)), bind(&c, &pin(&s), &[]));
        proptest!(ProptestConfig::with_cases(200), |(pieces in prop::collection::vec(piece(), 0..12))| {
            let attacker = client.connect(server.local_addr(), "server", DEADLINE).unwrap();
            let mut victim = server.accept(DEADLINE).unwrap();
            let bytes = pieces.concat();
            attacker.send_raw(bytes.clone());
            let (messages, is_garbage) = read(&bytes);
            for (step, payload) in messages {
                prop_assert_eq!(victim.recv(step, payload.len()).unwrap(), payload);
            }
            if !is_garbage {
                victim.set_deadline(Duration::from_millis(20));
            }
            let fits = match victim.recv(1, 1).unwrap_err() {
                Error::Garbage { .. } => is_garbage,
                Error::Deadline { .. } | Error::Desync { .. } => !is_garbage,
                _ => false,
            };
            prop_assert!(fits);
        });
    }
}
