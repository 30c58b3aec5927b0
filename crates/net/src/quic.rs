//! A link over one persistent bidirectional QUIC stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{Connection, RecvStream, SendStream};
use sotto_link::DEADLINE;
use tokio::sync::mpsc;

use crate::budget::Budget;
use crate::congestion;
use crate::failure::{ABANDONED, FINISHED, REASON, STOPPED, write_failure};
use crate::frame::Kind;
use crate::inbox::Inbox;
use crate::limits::Seat;
use crate::stream::{Outgoing, Reader, write_frames};
use crate::{Due, Error, Link, Profile, Traffic, printable};
use sotto_link::{CONNECTING, unnamed};

/// A link to one peer over QUIC; its [`crate::Endpoint`] must outlive it.
pub struct QuicLink {
    connection: Connection,
    inbox: Arc<Inbox>,
    outbox: mpsc::UnboundedSender<Outgoing>,
    name: String,
    /// Of an accepted link: it counts until it is dropped.
    _seat: Option<Seat>,
    queue_limit: u64,
    spin: Duration,
    deadline: Duration,
    /// When all waiting ends, whatever moves.
    end: Option<Instant>,
    traffic: Traffic,
    /// The step of the last call, for what goes wrong between steps.
    step: u32,
    finished: bool,
}

/// What all links of one endpoint have in common.
#[derive(Clone)]
pub(crate) struct Shared {
    pub profile: Profile,
    pub budget: Budget,
}

/// Ends a link from another thread.
pub struct Ender(Connection);

impl Ender {
    /// Closes it at once; the peer is told `why` (200 characters at most).
    pub fn end(&self, why: &str) {
        congestion::close(&self.0, ABANDONED, printable(why, REASON).as_bytes());
    }
}

impl QuicLink {
    /// Starts the reader and the writer; must be called inside the endpoint's runtime.
    pub(crate) fn start(
        connection: Connection,
        (send, recv): (SendStream, RecvStream),
        name: String,
        seat: Option<Seat>,
        Shared { profile, budget }: &Shared,
    ) -> Self {
        let peer = format!("{name} ({})", connection.remote_address());
        let inbox = Arc::new(Inbox::new(peer));
        let (outbox, outgoing) = mpsc::unbounded_channel();
        let reader = Reader {
            stream: recv,
            connection: connection.clone(),
            inbox: Arc::clone(&inbox),
            outbox: outbox.clone(),
            max_frame: profile.max_frame,
            prefetch: profile.prefetch.min(profile.prefetch_all),
            budget: budget.clone(),
        };
        tokio::spawn(reader.run());
        let shared = Arc::clone(&inbox);
        tokio::spawn(async move {
            if let Err(error) = write_frames(send, outgoing, &shared.backlog).await {
                shared.fail(write_failure(error));
            }
        });
        QuicLink {
            connection,
            inbox,
            outbox,
            name,
            _seat: seat,
            queue_limit: profile.queue_limit,
            spin: profile.spin,
            deadline: DEADLINE,
            end: None,
            traffic: Traffic::default(),
            step: CONNECTING,
            finished: false,
        }
    }

    /// Which pinned peer this is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What ends it while another thread uses it.
    pub fn ender(&self) -> Ender {
        Ender(self.connection.clone())
    }

    /// The round-trip time that the transport estimates.
    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.inbox.is_broken()
    }

    /// How long one message is waited for now.
    fn patience(&self) -> Duration {
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        left.map_or(self.deadline, |left| left.min(self.deadline))
    }

    fn take(&mut self, step: u32, due: Due) -> Result<Vec<u8>, Error> {
        self.step = step;
        let taken = self.inbox.take(step, due, self.patience(), self.spin);
        let payload = taken.inspect_err(|error| {
            if let Error::Desync { their_step, their_len, .. } = error {
                let (step, theirs) = (unnamed(step), unnamed(*their_step));
                let why =
                    format!("it was at {step} ({due}) and we sent {theirs} ({their_len} bytes)");
                congestion::close(&self.connection, STOPPED, why.as_bytes());
            }
        })?;
        self.traffic.received(payload.len());
        Ok(payload)
    }

    #[cfg(test)]
    pub(crate) fn send_raw(&self, bytes: Vec<u8>) {
        // There may be a fin in them: its answer is no surprise.
        self.inbox.send_fin();
        let _ = self.outbox.send(Outgoing::Raw(bytes));
    }
}

impl Link for QuicLink {
    fn send(&mut self, step: u32, payload: Vec<u8>) -> Result<(), Error> {
        self.step = step;
        self.inbox.queue(step, payload.len(), self.queue_limit)?;
        self.traffic.sent(payload.len());
        // The writer is gone only after a failure that the next call reports.
        let _ = self.outbox.send(Outgoing::message(step, payload));
        Ok(())
    }

    fn room(&mut self, at_most: u64) -> Result<(), Error> {
        self.inbox.room(self.step, at_most, (self.deadline, self.end))
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

    fn set_longest(&mut self, longest: Option<Duration>) {
        self.end = longest.and_then(|longest| Instant::now().checked_add(longest));
    }

    fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        Traffic { wire_sent: stats.udp_tx.bytes, wire_received: stats.udp_rx.bytes, ..self.traffic }
    }

    fn peer(&self) -> &str {
        self.inbox.peer()
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.finished {
            return Ok(());
        }
        if self.inbox.send_fin() {
            let _ = self.outbox.send(Outgoing::bare(Kind::Fin));
        }
        self.inbox.await_fin(self.step, self.traffic.messages_sent, self.patience())?;
        self.finished = true;
        congestion::close(&self.connection, FINISHED, &self.inbox.taken_in().to_le_bytes());
        Ok(())
    }
}

impl Drop for QuicLink {
    fn drop(&mut self) {
        if !self.finished {
            congestion::close(&self.connection, ABANDONED, &[]);
        }
    }
}

#[cfg(test)]
mod tests;
