//! Two parties in one process: the same messages, checks and counters without a network.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::link::{DEADLINE, QUEUE_LIMIT, cost};
use crate::{Due, Error, Link, Traffic};

/// Why an end can do nothing more.
#[derive(Clone)]
enum Failure {
    Gone {
        why: String,
        remedy: &'static str,
    },
    /// Our own error, found at a `recv`: every later call repeats it.
    Ours(Error),
}

/// What waits for one end.
#[derive(Default)]
struct Inbox {
    /// Steps and payloads.
    queue: VecDeque<(u32, Vec<u8>)>,
    /// What the queue costs.
    held: u64,
    failure: Option<Failure>,
}

impl Inbox {
    /// Nothing more will come; the first reason stands.
    fn fail(&mut self, why: impl Into<String>, remedy: &'static str) {
        self.failure.get_or_insert(Failure::Gone { why: why.into(), remedy });
    }
}

/// The inboxes of both ends.
#[derive(Default)]
struct Shared {
    inboxes: Mutex<[Inbox; 2]>,
    changed: Condvar,
}

/// One end of an in-process link.
pub struct LocalLink {
    shared: Arc<Shared>,
    ours: usize,
    peer: String,
    deadline: Duration,
    longest: Option<Duration>,
    traffic: Traffic,
    /// The step of the last message sent.
    step: u32,
    finished: bool,
}

/// Two connected links: the first belongs to party `a` (its peer is `b`), the second to `b`.
pub fn local_pair(a: &str, b: &str) -> (LocalLink, LocalLink) {
    let shared = Arc::new(Shared::default());
    let end = |ours, peer| LocalLink {
        shared: Arc::clone(&shared),
        ours,
        peer: format!("{peer} (local)"),
        deadline: DEADLINE,
        longest: None,
        traffic: Traffic::default(),
        step: 0,
        finished: false,
    };
    (end(0, b), end(1, a))
}

impl LocalLink {
    fn lock(&self) -> MutexGuard<'_, [Inbox; 2]> {
        self.shared.inboxes.lock().expect("nothing panics while it holds the inboxes")
    }

    fn theirs(&self) -> usize {
        1 - self.ours
    }

    /// The error that a call at `step` meets.
    fn error(&self, failure: &Failure, step: u32) -> Error {
        match failure {
            Failure::Ours(error) => error.clone(),
            Failure::Gone { why, remedy } => {
                Error::Link { peer: self.peer.clone(), step, why: why.clone(), remedy }
            }
        }
    }

    /// Waits for the deadline at most while `idle`.
    fn wait<'a>(
        &'a self,
        inboxes: MutexGuard<'a, [Inbox; 2]>,
        step: u32,
        idle: impl Fn(&[Inbox; 2]) -> bool,
    ) -> Result<MutexGuard<'a, [Inbox; 2]>, Error> {
        // There is no clock here: each wait alone is held to it.
        let waited = self.longest.map_or(self.deadline, |longest| longest.min(self.deadline));
        let woken = self.shared.changed.wait_timeout_while(inboxes, waited, |i| idle(i));
        let (inboxes, timeout) = woken.expect("nothing panics while it holds the inboxes");
        if timeout.timed_out() {
            return Err(Error::Deadline { peer: self.peer.clone(), step, waited });
        }
        Ok(inboxes)
    }

    fn take(&mut self, step: u32, due: Due) -> Result<Vec<u8>, Error> {
        let idle = |inboxes: &[Inbox; 2]| {
            let own = &inboxes[self.ours];
            own.queue.is_empty() && own.failure.is_none()
        };
        let mut inboxes = self.wait(self.lock(), step, idle)?;
        let own = &mut inboxes[self.ours];
        let (their_step, their_len) = match (&own.failure, own.queue.front()) {
            (Some(failure @ Failure::Ours(_)), _) => return Err(self.error(failure, step)),
            (_, Some((step, payload))) => (*step, payload.len() as u64),
            (Some(failure), None) => return Err(self.error(failure, step)),
            (None, None) => unreachable!("something came, or will never"),
        };
        if their_step != step || !due.allows(their_len) {
            let peer = self.peer.clone();
            let error = Error::Desync { peer, step, due, their_step, their_len };
            own.failure = Some(Failure::Ours(error.clone()));
            let why = format!("it stopped: it was at step {step} and we sent step {their_step}");
            inboxes[self.theirs()].fail(why, "compare the plans of both sides");
            self.shared.changed.notify_all();
            return Err(error);
        }
        let (_, payload) = own.queue.pop_front().expect("it has a front");
        own.held -= cost(their_len);
        self.shared.changed.notify_all();
        drop(inboxes);
        self.traffic.received(payload.len());
        Ok(payload)
    }

    /// Nothing more comes from here.
    fn leave(&mut self, why: &str, remedy: &'static str) {
        let mut inboxes = self.lock();
        inboxes[self.theirs()].fail(why, remedy);
        inboxes[self.ours].fail("this side closed the link", "connect again");
        self.shared.changed.notify_all();
    }
}

impl Link for LocalLink {
    fn send(&mut self, step: u32, payload: Vec<u8>) -> Result<(), Error> {
        let len = payload.len();
        let mut inboxes = self.lock();
        if let Some(failure) = &inboxes[self.ours].failure {
            return Err(self.error(failure, step));
        }
        let theirs = &mut inboxes[self.theirs()];
        let (queued, limit) = (theirs.held + cost(len as u64), QUEUE_LIMIT);
        if queued > limit {
            return Err(Error::Overflow { peer: self.peer.clone(), step, queued, limit });
        }
        theirs.held = queued;
        theirs.queue.push_back((step, payload));
        self.shared.changed.notify_all();
        drop(inboxes);
        self.step = step;
        self.traffic.sent(len);
        Ok(())
    }

    fn room(&mut self, at_most: u64) -> Result<(), Error> {
        // What the peer has not received yet counts as queued.
        let mut inboxes = self.lock();
        loop {
            if let Some(failure) = &inboxes[self.ours].failure {
                return Err(self.error(failure, self.step));
            }
            let held = inboxes[self.theirs()].held;
            if held <= at_most {
                return Ok(());
            }
            inboxes = self.wait(inboxes, self.step, |inboxes| {
                inboxes[self.theirs()].held >= held && inboxes[self.ours].failure.is_none()
            })?;
        }
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
        self.longest = longest;
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn peer(&self) -> &str {
        &self.peer
    }

    fn finish(&mut self) -> Result<(), Error> {
        // What we sent lies in the peer's inbox already.
        self.finished = true;
        self.leave("it has finished and closed the link", "connect again");
        Ok(())
    }
}

impl Drop for LocalLink {
    fn drop(&mut self) {
        if !self.finished {
            self.leave("it went away without finishing", "look at its log");
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
