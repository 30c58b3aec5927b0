//! An authenticated peer that does what no honest one does.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use super::*;
use crate::frame::Header;
use crate::{Endpoint, Identity};
use sotto_link::cost;

const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for what another thread does.
fn eventually(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE);
        thread::yield_now();
    }
}

/// A victim with small budgets, a hostile but authenticated peer, and their endpoints.
fn victim_and_attacker() -> (QuicLink, QuicLink, [Endpoint; 2]) {
    let (s, c) = (Identity::generate("server").unwrap(), Identity::generate("client").unwrap());
    let mut profile = Profile::loopback();
    (profile.max_frame, profile.prefetch) = (1 << 20, 1 << 16);
    let bind = |us: &Identity, peer: &Identity| {
        let peers = [(peer.name().to_owned(), peer.certificate().clone())];
        Endpoint::bind("127.0.0.1:0".parse().unwrap(), us, &peers, &peers, profile.clone()).unwrap()
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
    assert!(matches!(victim.send(5, vec![]), Err(Error::Garbage { .. })), "the link stays dead");
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
        assert!(matches!(&error, Error::Garbage { why, .. } if why.contains(why_part)), "{error}");
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
        assert!(matches!(&error, Error::Garbage { why, .. } if why.contains(why_part)), "{error}");
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
    assert!(victim.inbox.taken_in() <= (1 << 16) / cost(0));
    for step in 0..messages {
        victim.recv(step, 0).unwrap();
    }
    attacker.set_deadline(DEADLINE);
    attacker.finish().unwrap();
}

/// A victim that may hold 1 MiB unasked, and its links with two peers: its own ends first.
fn victim_of_two() -> ([QuicLink; 2], [QuicLink; 2], [Endpoint; 3]) {
    let [s, c, d] = ["server", "client", "dealer"].map(|name| Identity::generate(name).unwrap());
    let mut profile = Profile::loopback();
    profile.prefetch_all = 1 << 20;
    let pin = |one: &Identity| (one.name().to_owned(), one.certificate().clone());
    let bind = |us: &Identity, dial: &[_], accept: &[_]| {
        Endpoint::bind("127.0.0.1:0".parse().unwrap(), us, dial, accept, profile.clone()).unwrap()
    };
    let server = bind(&s, &[], &[pin(&c), pin(&d)]);
    let (client, dealer) = (bind(&c, &[pin(&s)], &[]), bind(&d, &[pin(&s)], &[]));
    let links = [&client, &dealer].map(|peer| {
        let theirs = peer.connect(server.local_addr(), "server", DEADLINE).unwrap();
        (server.accept(DEADLINE).unwrap(), theirs)
    });
    let [(client_here, client_there), (dealer_here, dealer_there)] = links;
    ([client_here, dealer_here], [client_there, dealer_there], [server, client, dealer])
}

#[test]
fn what_comes_unasked_is_bounded_over_all_links() {
    let ([mut a, mut b], [mut from_a, mut from_b], _endpoints) = victim_of_two();
    const LEN: usize = 900_000;
    from_a.send(1, vec![1; LEN]).unwrap();
    eventually(|| a.inbox.taken_in() == 1);
    from_b.send(1, vec![2; LEN]).unwrap();
    from_b.set_deadline(Duration::from_millis(300));
    assert!(matches!(from_b.finish(), Err(Error::Deadline { .. })));
    assert_eq!(b.inbox.taken_in(), 0, "no room while the other link's message waits");
    // The other link frees room: nobody asks for it here.
    assert_eq!(a.recv(1, LEN).unwrap(), vec![1; LEN]);
    from_b.set_deadline(DEADLINE);
    from_b.finish().unwrap();
    // What is asked for needs no room.
    from_a.send(2, vec![3; LEN]).unwrap();
    assert_eq!(a.recv(2, LEN).unwrap(), vec![3; LEN]);
    assert_eq!(b.recv(1, LEN).unwrap(), vec![2; LEN]);
}

#[test]
fn a_dead_link_holds_nothing() {
    let ([a, b], [from_a, mut from_b], _endpoints) = victim_of_two();
    // One that never comes whole.
    from_a.send_raw(Header { kind: Kind::Message, step: 1, len: 900_000 }.encode().to_vec());
    from_a.send_raw(vec![1; 1000]);
    eventually(|| a.inbox.taken_in() == 0 && a.inbox.is_coming());
    from_b.send(1, vec![2; 900_000]).unwrap();
    eventually(|| b.inbox.is_coming());
    drop(from_a);
    from_b.set_deadline(DEADLINE);
    from_b.finish().unwrap();
    assert_eq!(b.inbox.taken_in(), 1);
}

const PIECE: usize = 1 << 20;

/// Receives so many pieces, the next one each few milliseconds.
fn receive_slowly(mut link: QuicLink, pieces: u32) -> QuicLink {
    let (_never, clock) = mpsc::channel::<()>();
    for step in 0..pieces {
        let _ = clock.recv_timeout(Duration::from_millis(10));
        assert_eq!(link.recv(step, PIECE).unwrap().len(), PIECE);
    }
    link
}

#[test]
fn a_sender_in_pieces_holds_little() {
    let (victim, mut sender, _endpoints) = victim_and_attacker();
    let reading = thread::spawn(move || receive_slowly(victim, 64));
    let mut most = 0;
    for step in 0..64 {
        sender.room(4 << 20).unwrap();
        sender.send(step, vec![7; PIECE]).unwrap();
        most = most.max(sender.inbox.backlog.queued());
    }
    assert!(most > 4 << 20 && most <= (5 << 20) + cost(0), "{most}");
    sender.room(0).unwrap();
    reading.join().unwrap();
}

#[test]
fn a_slow_peer_is_waited_for_and_a_hanging_one_is_not() {
    let (victim, mut sender, _endpoints) = victim_and_attacker();
    for step in 0..64 {
        sender.send(step, vec![7; PIECE]).unwrap();
    }
    let deadline = Duration::from_millis(300);
    sender.set_deadline(deadline);
    assert!(matches!(sender.room(4 << 20), Err(Error::Deadline { step: 63, .. })));
    // All of it takes longer than the deadline, each piece does not.
    let start = Instant::now();
    let reading = thread::spawn(move || receive_slowly(victim, 64));
    sender.room(0).unwrap();
    assert!(start.elapsed() > deadline, "{:?}", start.elapsed());
    reading.join().unwrap();
}

#[test]
fn a_sender_that_waits_for_room_learns_that_the_peer_is_gone() {
    let (victim, mut sender, _endpoints) = victim_and_attacker();
    for step in 0..64 {
        sender.send(step, vec![7; PIECE]).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| drop(receive_slowly(victim, 4)));
        let start = Instant::now();
        let error = sender.room(0).unwrap_err();
        assert!(matches!(error, Error::Link { step: 63, .. }), "{error}");
        assert!(start.elapsed() < DEADLINE / 4, "at once");
    });
}

#[test]
fn who_sends_each_message_just_in_time_has_a_time_in_all() {
    let (mut victim, mut sender, _endpoints) = victim_and_attacker();
    victim.set_deadline(DEADLINE);
    let longest = Duration::from_millis(400);
    let (stop, stopped) = mpsc::channel::<()>();
    let drips = thread::spawn(move || {
        let mut step = 0;
        while stopped.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
            sender.send(step, vec![1]).unwrap();
            step += 1;
        }
    });
    let start = Instant::now();
    victim.set_longest(Some(longest));
    let mut step = 0;
    let error = loop {
        match victim.recv(step, 1) {
            Ok(_) => step += 1,
            Err(error) => break error,
        }
    };
    let took = start.elapsed();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    assert!(took >= longest && took < DEADLINE / 2, "{took:?}");
    // What comes after it has the deadline alone.
    victim.set_longest(None);
    victim.recv(step, 1).unwrap();
    drop(stop);
    drips.join().unwrap();
}

#[test]
fn who_takes_each_piece_just_in_time_has_a_time_in_all() {
    let (victim, mut sender, _endpoints) = victim_and_attacker();
    let reading = thread::spawn(move || receive_slowly(victim, 64));
    sender.set_deadline(DEADLINE);
    let start = Instant::now();
    sender.set_longest(Some(Duration::from_millis(200)));
    for step in 0..64 {
        sender.send(step, vec![7; PIECE]).unwrap();
    }
    let error = sender.room(0).unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    assert!(start.elapsed() < DEADLINE / 2, "{:?}", start.elapsed());
    sender.set_longest(None);
    sender.room(0).unwrap();
    reading.join().unwrap();
}
