//! The pipe that protocol code talks through.

use std::time::Duration;

use crate::Error;

/// What a link waits at most for a peer unless told otherwise.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What a link queues at most unless told otherwise (bytes, as [`cost`] counts them).
pub const QUEUE_LIMIT: u64 = 512 << 20;

/// Bytes that may wait to be sent to a peer that takes them slowly or not at all: who sends much asks [`Link::room`] first.
pub const AHEAD: u64 = 4 << 20;

/// What a message of `len` bytes counts in queues: more than its payload, so that empty ones are not free.
pub fn cost(len: u64) -> u64 {
    len + 64
}

/// What went over a link so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Payload bytes given to `send`.
    pub bytes_sent: u64,
    /// Payload bytes that `recv` returned.
    pub bytes_received: u64,
    /// Messages given to `send`.
    pub messages_sent: u64,
    /// Messages that `recv` returned.
    pub messages_received: u64,
    /// UDP payload bytes sent, with headers, acknowledgements and repeats; 0 on a local link.
    pub wire_sent: u64,
    /// UDP payload bytes received; 0 on a local link.
    pub wire_received: u64,
}

impl Traffic {
    /// Counts a message given to `send`.
    pub fn sent(&mut self, len: usize) {
        self.bytes_sent += len as u64;
        self.messages_sent += 1;
    }

    /// Counts a message that `recv` returns.
    pub fn received(&mut self, len: usize) {
        self.bytes_received += len as u64;
        self.messages_received += 1;
    }
}

/// Blocking, ordered, step-named message pipe to one peer.
///
/// After any error but [`Error::Deadline`] and [`Error::Overflow`] the link is dead and repeats
/// the error.
pub trait Link: Send {
    /// Queues a message; never waits for the peer ([`Link::room`] does).
    ///
    /// # Errors
    /// [`Error::Overflow`] when the queue is full (nothing was queued then), [`Error::Link`] when
    /// the peer is known to be gone.
    fn send(&mut self, step: u32, payload: Vec<u8>) -> Result<(), Error>;

    /// Waits until at most `at_most` bytes are queued (payloads and 64 bytes a message), so that
    /// somebody who sends much in pieces holds little of it.
    ///
    /// # Errors
    /// [`Error::Deadline`] when not a byte of the queue went out for that long (a slow peer is fine,
    /// and it may be asked for again), [`Error::Link`] when the peer is gone.
    fn room(&mut self, at_most: u64) -> Result<(), Error>;

    /// The peer's next message, which must carry `step` and exactly `len` bytes.
    ///
    /// # Errors
    /// [`Error::Desync`] for another step or length, [`Error::Deadline`] when it is not whole in
    /// time (it may be asked for again), [`Error::Link`] and [`Error::Garbage`].
    fn recv(&mut self, step: u32, len: usize) -> Result<Vec<u8>, Error>;

    /// Sends a message unless it is empty, does some work of one's own while it travels, and receives the peer's of the same step
    /// unless none is expected.
    ///
    /// A peer that does not read is waited for first. No two wait for each other where both walk the same steps: what is queued
    /// belongs to steps that the peer has yet to pass, and there it reads.
    ///
    /// # Errors
    /// Those of [`Link::room`], [`Link::send`] and [`Link::recv`].
    fn exchange(
        &mut self,
        step: u32,
        send: Vec<u8>,
        expect: usize,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Option<Vec<u8>>, Error> {
        if !send.is_empty() {
            self.room(AHEAD.saturating_sub(cost(send.len() as u64)))?;
            self.send(step, send)?;
        }
        meanwhile();
        if expect == 0 {
            return Ok(None);
        }
        self.recv(step, expect).map(Some)
    }

    /// The peer's next message, which must carry `step` and at most `limit` bytes; the length is
    /// checked before anything is allocated for it.
    ///
    /// # Errors
    /// As [`Link::recv`].
    fn recv_upto(&mut self, step: u32, limit: usize) -> Result<Vec<u8>, Error>;

    /// How long `recv`, `room` and `finish` wait from now on (60 s at first).
    fn set_deadline(&mut self, deadline: Duration);

    /// How long all of them together take from now on, however much the peer moves meanwhile; as long as it takes at first. What is here
    /// already is given all the same.
    fn set_longest(&mut self, longest: Option<Duration>);

    /// Payload bytes and messages so far, both ways.
    fn traffic(&self) -> Traffic;

    /// The peer's name and address, for people.
    fn peer(&self) -> &str;

    /// Sends what is queued, waits until the peer has taken in all of it, and closes the link.
    ///
    /// What the peer sent and we have not read is dropped. Both sides may call it, in any order;
    /// a link that is dropped without it is an [`Error::Link`] on the other side. Nothing can be
    /// sent after it; it may be asked for again when it met its deadline.
    ///
    /// # Errors
    /// [`Error::Deadline`] when the peer does not take everything in time, [`Error::Link`] when it
    /// is gone before it had.
    fn finish(&mut self) -> Result<(), Error>;
}
