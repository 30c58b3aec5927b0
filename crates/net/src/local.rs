//! Two parties in one process: the same messages, checks and counters without a network.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::{Failure, closed_here};
use crate::frame::{Frame, cost};
use crate::inbox::Inbox;
use crate::link::DEADLINE;
use crate::profile::QUEUE_LIMIT;
use crate::{Due, Error, Link, Traffic};

/// One end of an in-process link.
pub struct LocalLink {
    ours: Arc<Inbox>,
    theirs: Arc<Inbox>,
    deadline: Duration,
    traffic: Traffic,
    /// The step of the last message sent.
    step: u32,
    finished: bool,
}

/// Two connected links: the first belongs to party `a` (its peer is `b`), the second to `b`.
pub fn local_pair(a: &str, b: &str) -> (LocalLink, LocalLink) {
    let from_b = Arc::new(Inbox::new(format!("{b} (local)")));
    let from_a = Arc::new(Inbox::new(format!("{a} (local)")));
    let end = |ours: &Arc<Inbox>, theirs: &Arc<Inbox>| LocalLink {
        ours: Arc::clone(ours),
        theirs: Arc::clone(theirs),
        deadline: DEADLINE,
        traffic: Traffic::default(),
        step: 0,
        finished: false,
    };
    (end(&from_b, &from_a), end(&from_a, &from_b))
}

impl LocalLink {
    fn take(&mut self, step: u32, due: Due) -> Result<Vec<u8>, Error> {
        let payload =
            self.ours.take(step, due, self.deadline, Duration::ZERO).inspect_err(|error| {
                if let Error::Desync { their_step, .. } = error {
                    self.theirs.fail(stopped_by_peer(step, *their_step));
                }
            })?;
        self.traffic.received(payload.len());
        self.theirs.backlog.release(cost(payload.len() as u64));
        Ok(payload)
    }
}

/// What the sender of a wrong step learns.
pub(crate) fn stopped_by_peer(step: u32, their_step: u32) -> Failure {
    let why = format!("it stopped: it was at step {step} and we sent step {their_step}");
    Failure::gone(why, "compare the plans of both sides")
}

impl Link for LocalLink {
    fn send(&mut self, step: u32, payload: Vec<u8>) -> Result<(), Error> {
        self.ours.queue(step, payload.len(), QUEUE_LIMIT)?;
        self.step = step;
        self.traffic.sent(payload.len());
        self.theirs.push(Frame { step, payload, _held: None });
        Ok(())
    }

    fn room(&mut self, at_most: u64) -> Result<(), Error> {
        // What the peer has not received yet counts as queued.
        self.ours.room(self.step, at_most, self.deadline)
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
        self.traffic
    }

    fn peer(&self) -> &str {
        self.ours.peer()
    }

    fn finish(&mut self) -> Result<(), Error> {
        // What we sent lies in the peer's inbox already.
        self.finished = true;
        self.theirs.fail(Failure::Finished { received: self.ours.taken_in() });
        self.ours.fail(closed_here());
        Ok(())
    }
}

impl Drop for LocalLink {
    fn drop(&mut self) {
        if !self.finished {
            self.theirs.fail(Failure::gone("it went away without finishing", "look at its log"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn messages_keep_their_order_and_are_counted() {
        let (mut a, mut b) = local_pair("client", "server");
        for step in 0..100 {
            a.send(step, vec![step as u8; step as usize]).unwrap();
        }
        for step in 0..100 {
            assert_eq!(b.recv(step, step as usize).unwrap(), vec![step as u8; step as usize]);
        }
        assert_eq!(a.traffic().bytes_sent, 4950);
        assert_eq!(a.traffic().messages_sent, 100);
        assert_eq!(b.traffic().bytes_received, 4950);
        assert_eq!(b.traffic().messages_received, 100);
        assert_eq!(a.peer(), "server (local)");
        assert_eq!(b.peer(), "client (local)");
    }

    #[test]
    fn a_wrong_step_names_both_steps_on_both_sides() {
        let (mut a, mut b) = local_pair("client", "server");
        a.send(5, vec![1]).unwrap();
        let error = b.recv(7, 1).unwrap_err();
        assert!(matches!(error, Error::Desync { step: 7, their_step: 5, .. }), "{error}");
        let text = a.recv(8, 1).unwrap_err().to_string();
        assert!(text.contains("step 7") && text.contains("step 5"), "{text}");
        assert!(matches!(b.recv(5, 1).unwrap_err(), Error::Desync { .. }), "the link stays dead");
    }

    #[test]
    fn a_wrong_length_is_a_desync() {
        let (mut a, mut b) = local_pair("client", "server");
        a.send(5, vec![1, 2, 3]).unwrap();
        let error = b.recv_upto(5, 2).unwrap_err();
        assert!(
            matches!(error, Error::Desync { due: Due::AtMost(2), their_len: 3, .. }),
            "{error}"
        );
    }

    #[test]
    fn silence_meets_the_deadline_and_can_be_asked_again() {
        let (mut a, mut b) = local_pair("client", "server");
        b.set_deadline(Duration::from_millis(50));
        let error = b.recv(1, 1).unwrap_err();
        let Error::Deadline { step: 1, waited, .. } = error else { panic!("{error}") };
        assert!(waited >= Duration::from_millis(50));
        a.send(1, vec![9]).unwrap();
        assert_eq!(b.recv(1, 1).unwrap(), [9]);
    }

    #[test]
    fn finish_delivers_and_a_drop_is_a_lost_link() {
        let (mut a, mut b) = local_pair("client", "server");
        a.send(1, vec![9]).unwrap();
        a.finish().unwrap();
        drop(a);
        assert_eq!(b.recv(1, 1).unwrap(), [9]);
        assert!(b.recv(2, 1).unwrap_err().to_string().contains("finished"));
        b.finish().unwrap();

        let (a, mut b) = local_pair("client", "server");
        drop(a);
        assert!(matches!(b.recv(2, 1).unwrap_err(), Error::Link { step: 2, .. }));
        assert!(matches!(b.send(3, vec![]).unwrap_err(), Error::Link { step: 3, .. }));
    }

    #[test]
    fn room_comes_as_the_peer_receives() {
        let (mut a, mut b) = local_pair("client", "server");
        a.room(0).unwrap();
        for step in 0..10 {
            a.send(step, vec![0; 1000]).unwrap();
        }
        a.set_deadline(Duration::from_millis(50));
        assert!(matches!(a.room(6000), Err(Error::Deadline { step: 9, .. })));
        thread::scope(|scope| {
            scope.spawn(|| {
                (0..6).for_each(|step| assert_eq!(b.recv(step, 1000).unwrap().len(), 1000))
            });
            a.set_deadline(Duration::from_secs(20));
            a.room(6000).unwrap();
        });
        thread::scope(|scope| {
            scope.spawn(|| drop(b));
            assert!(matches!(a.room(0), Err(Error::Link { .. })));
        });
    }

    #[test]
    fn the_queue_is_bounded() {
        let (mut a, mut b) = local_pair("client", "server");
        let (mut sent, mut step) = (0, 0);
        let error = loop {
            // Untouched zero pages: they are never resident.
            match a.send(step, vec![0; 64 << 20]) {
                Ok(()) => (sent, step) = (sent + (64 << 20), step + 1),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Overflow { .. }), "{error}");
        assert!(sent <= QUEUE_LIMIT && sent > QUEUE_LIMIT / 2);
        b.recv(0, 64 << 20).unwrap();
        a.send(step, vec![0; 64 << 20]).unwrap();
    }
}
