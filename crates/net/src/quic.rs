//! A link over one persistent bidirectional QUIC stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::mpsc;

use crate::congestion;
use crate::failure::{ABANDONED, FINISHED, STOPPED, write_failure};
use crate::frame::{FRAME_COST, Header, Kind};
use crate::inbox::Inbox;
use crate::limits::Seat;
use crate::link::DEADLINE;
use crate::stream::{Outgoing, Reader, write_frames};
use crate::{Due, Error, Link, Profile, Traffic};

/// A link to one peer over QUIC; its [`crate::Endpoint`] must outlive it.
pub struct QuicLink {
    connection: Connection,
    inbox: Arc<Inbox>,
    outbox: mpsc::UnboundedSender<Outgoing>,
    /// Bytes given to `outbox` that the transport has not taken yet.
    queued: Arc<AtomicU64>,
    name: String,
    /// Of an accepted link: it counts until it is dropped.
    _seat: Option<Seat>,
    queue_limit: u64,
    spin: Duration,
    deadline: Duration,
    traffic: Traffic,
    /// The step of the last call, for what goes wrong between steps.
    step: u32,
    finished: bool,
}

impl QuicLink {
    /// Starts the reader and the writer; must be called inside the endpoint's runtime.
    pub(crate) fn start(
        connection: Connection,
        (send, recv): (SendStream, RecvStream),
        name: String,
        seat: Option<Seat>,
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
            _seat: seat,
            queue_limit: profile.queue_limit,
            spin: profile.spin,
            deadline: DEADLINE,
            traffic: Traffic::default(),
            step: 0,
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

    pub(crate) fn is_broken(&self) -> bool {
        self.inbox.is_broken()
    }

    fn take(&mut self, step: u32, due: Due) -> Result<Vec<u8>, Error> {
        self.step = step;
        let taken = self.inbox.take(step, due, self.deadline, self.spin);
        let payload = taken.inspect_err(|error| {
            if let Error::Desync { their_step, their_len, .. } = error {
                let why = format!("it was at step {step} ({due}) and we sent step {their_step} ({their_len} bytes)");
                congestion::close(&self.connection, STOPPED, why.as_bytes());
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
        self.step = step;
        self.inbox.check(step)?;
        let len = payload.len() as u64;
        let queued = self.queued.load(Ordering::Relaxed) + len + FRAME_COST;
        if queued > self.queue_limit {
            let (peer, limit) = (self.peer().to_owned(), self.queue_limit);
            return Err(Error::Overflow { peer, step, queued, limit });
        }
        self.queued.fetch_add(len + FRAME_COST, Ordering::Relaxed);
        self.traffic.sent(payload.len());
        let header = Header { kind: Kind::Message, step, len };
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
            let fin = Header::bare(Kind::Fin);
            let _ = self.outbox.send(Outgoing::Frame(fin, Vec::new()));
        }
        self.inbox.await_fin(self.step, self.traffic.messages_sent, self.deadline)?;
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
mod tests {
    use super::*;
    use crate::{Endpoint, Identity};

    const DEADLINE: Duration = Duration::from_secs(20);

    /// A victim with small budgets, a hostile but authenticated peer, and their endpoints.
    fn victim_and_attacker() -> (QuicLink, QuicLink, [Endpoint; 2]) {
        let (s, c) = (Identity::generate("server").unwrap(), Identity::generate("client").unwrap());
        let mut profile = Profile::loopback();
        (profile.max_frame, profile.prefetch) = (1 << 20, 1 << 16);
        let bind = |us: &Identity, peer: &Identity| {
            let peers = [(peer.name().to_owned(), peer.certificate().clone())];
            Endpoint::bind("127.0.0.1:0".parse().unwrap(), us, &peers, &peers, profile.clone())
                .unwrap()
        };
        let (server, client) = (bind(&s, &c), bind(&c, &s));
        let attacker = client.connect(server.local_addr(), "server", DEADLINE).unwrap();
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
        assert!(matches!(&error, Error::Link { why, .. } if why.contains("magic")), "{error}");
        assert!(
            matches!(victim.send(5, vec![]), Err(Error::Garbage { .. })),
            "the link stays dead"
        );
    }

    #[test]
    fn hostile_headers_are_refused_before_they_cost_memory() {
        let message = |len| Header { kind: Kind::Message, step: 3, len }.encode().to_vec();
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
    fn nothing_is_answered_twice() {
        let fin = Header::bare(Kind::Fin).encode();
        let received = Header::bare(Kind::FinReceived).encode();
        let message = Header { kind: Kind::Message, step: 3, len: 0 }.encode();
        let cases = [
            ([fin, fin].concat(), "a second fin"),
            ([fin, message].concat(), "a message after its fin"),
            (received.to_vec(), "a fin that we have not sent"),
            (fin.repeat(10_000), "a second fin"),
        ];
        for (bytes, why_part) in cases {
            let (mut victim, mut attacker, _endpoints) = victim_and_attacker();
            attacker.send_raw(bytes);
            let error = victim.recv(3, 10).unwrap_err();
            assert!(
                matches!(&error, Error::Garbage { why, .. } if why.contains(why_part)),
                "{error}"
            );
            let error = attacker.recv(4, 1).unwrap_err();
            assert!(matches!(&error, Error::Link { why, .. } if why.contains(why_part)), "{error}");
        }
    }

    #[test]
    fn a_finish_that_met_its_deadline_may_be_asked_for_again() {
        let (mut at_server, mut at_client, _endpoints) = victim_and_attacker();
        // Beyond the prefetch budget, so that the fin waits behind it.
        at_client.send(3, vec![7; 1 << 20]).unwrap();
        at_client.set_deadline(Duration::from_millis(200));
        assert!(matches!(at_client.finish(), Err(Error::Deadline { .. })));
        let error = at_client.send(4, vec![1]).unwrap_err();
        assert!(matches!(&error, Error::Link { why, .. } if why.contains("this side")), "{error}");
        assert_eq!(at_server.recv(3, 1 << 20).unwrap(), vec![7; 1 << 20]);
        at_client.set_deadline(DEADLINE);
        at_client.finish().unwrap();
        at_server.finish().unwrap();
    }

    #[test]
    fn a_header_without_its_payload_meets_the_deadline_and_can_still_complete() {
        let (mut victim, attacker, _endpoints) = victim_and_attacker();
        // Beyond the prefetch budget, so that it needs the receiver's grant.
        let len = 1 << 20;
        attacker.send_raw(Header { kind: Kind::Message, step: 3, len }.encode().to_vec());
        victim.set_deadline(Duration::from_millis(200));
        assert!(matches!(victim.recv(3, len as usize), Err(Error::Deadline { .. })));
        attacker.send_raw(vec![7; len as usize]);
        victim.set_deadline(DEADLINE);
        assert_eq!(victim.recv(3, len as usize).unwrap(), vec![7; len as usize]);
    }

    #[test]
    fn a_peer_gone_within_a_payload_is_a_lost_link() {
        let (mut victim, attacker, _endpoints) = victim_and_attacker();
        attacker.send_raw(Header { kind: Kind::Message, step: 3, len: 1000 }.encode().to_vec());
        attacker.send_raw(vec![7; 999]);
        drop(attacker);
        assert!(matches!(victim.recv(3, 1000).unwrap_err(), Error::Link { step: 3, .. }));
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
