//! What a working link does.

use super::*;

#[test]
fn ping_pong_and_counters() {
    let Pair { mut at_server, mut at_client, server: _server, client: _client } = pair();
    assert_eq!(at_server.name(), "client");
    assert!(at_server.peer().starts_with("client (127.0.0.1:"), "{}", at_server.peer());
    assert!(at_client.peer().starts_with("server (127.0.0.1:"), "{}", at_client.peer());
    for step in 0..200u32 {
        let len = step as usize * 37;
        at_client.send(step, pattern(1, len)).unwrap();
        assert_eq!(at_server.recv(step, len).unwrap(), pattern(1, len));
        at_server.send(step, pattern(2, len)).unwrap();
        assert_eq!(at_client.recv(step, len).unwrap(), pattern(2, len));
    }
    let (sent, got) = (at_client.traffic(), at_server.traffic());
    assert_eq!(sent.bytes_sent, 37 * 199 * 200 / 2);
    assert_eq!((sent.bytes_sent, sent.messages_sent), (got.bytes_received, got.messages_received));
    assert_eq!((sent.bytes_received, sent.messages_received), (got.bytes_sent, 200));
    assert!(sent.wire_sent > sent.bytes_sent && got.wire_received > got.bytes_received);
}

#[test]
fn bulk_arrives_whole_in_pieces_beyond_the_prefetch_budget() {
    let mut profile = Profile::loopback();
    profile.prefetch = 1 << 20;
    let Pair { mut at_server, mut at_client, server: _server, client: _client } =
        pair_with(profile);
    let sizes = [100_000_000, 0, 1, 3 << 20, 1024, 1025];
    for (step, len) in (0..).zip(sizes) {
        at_client.send(step, pattern(u64::from(step), len)).unwrap();
    }
    for (step, len) in (0..).zip(sizes) {
        assert!(
            at_server.recv(step, len).unwrap() == pattern(u64::from(step), len),
            "message {step} differs"
        );
    }
}

#[test]
fn sends_never_wait_for_a_peer_that_does_not_read() {
    let Pair { mut at_server, mut at_client, server: _server, client: _client } = pair();
    let (messages, len) = (2000u32, 100_000);
    let start = Instant::now();
    for step in 0..messages {
        at_client.send(step, vec![step as u8; len]).unwrap();
        at_server.send(step, vec![!step as u8; len]).unwrap();
    }
    // 400 MB are queued by now, more than the transport's windows hold: nobody has read.
    assert!(start.elapsed() < DEADLINE);
    for step in 0..messages {
        assert!(at_server.recv(step, len).unwrap() == vec![step as u8; len]);
        assert!(at_client.recv(step, len).unwrap() == vec![!step as u8; len]);
    }
}

#[test]
fn the_queue_is_bounded() {
    let mut profile = Profile::loopback();
    (profile.queue_limit, profile.send_window, profile.prefetch) = (8 << 20, 1 << 20, 1 << 20);
    profile.receive_window = 1 << 20;
    let Pair { mut at_server, mut at_client, server: _server, client: _client } =
        pair_with(profile);
    let mut step = 0;
    let error = loop {
        match at_client.send(step, vec![3; 1 << 20]) {
            Ok(()) => step += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Overflow { limit, .. } if limit == 8 << 20), "{error}");
    assert!((7..=20).contains(&step), "{step} messages of 1 MiB");
    // Nothing was lost, and there is room again once the peer reads.
    for step in 0..step {
        at_server.recv(step, 1 << 20).unwrap();
    }
    at_client.send(step, vec![3; 1 << 20]).unwrap();
    at_server.recv(step, 1 << 20).unwrap();
}

#[test]
fn finish_waits_until_the_peer_has_everything() {
    let Pair { mut at_server, mut at_client, server: _server, client } = pair();
    let len = 50_000_000;
    at_client.send(1, pattern(1, len)).unwrap();
    at_client.send(2, vec![5]).unwrap();
    let sender = thread::spawn(move || {
        at_client.finish().unwrap();
        at_client.finish().unwrap();
        drop(at_client);
        drop(client);
    });
    // The sender, its endpoint included, may be gone before we read.
    sender.join().unwrap();
    assert!(at_server.recv(1, len).unwrap() == pattern(1, len));
    assert_eq!(at_server.recv(2, 1).unwrap(), [5]);
    let error = at_server.recv(3, 1).unwrap_err();
    assert!(error.to_string().contains("finished"), "{error}");
    at_server.finish().unwrap();
}

#[test]
fn both_sides_may_finish_at_once() {
    for _ in 0..20 {
        let Pair { mut at_server, mut at_client, server: _server, client: _client } = pair();
        at_client.send(1, vec![1; 1000]).unwrap();
        at_server.send(1, vec![2; 1000]).unwrap();
        let other = thread::spawn(move || {
            at_server.recv(1, 1000).unwrap();
            at_server.finish()
        });
        at_client.recv(1, 1000).unwrap();
        at_client.finish().unwrap();
        other.join().unwrap().unwrap();
    }
}
