//! Peers that vanish, hang, disagree or leave early.

use super::*;

#[test]
fn finish_tells_when_the_peer_left_too_early() {
    let Pair { mut at_server, mut at_client, server: _server, client: _client } = pair();
    at_server.finish().unwrap();
    // The link may or may not know by now that the peer is gone.
    if at_client.send(1, vec![1]).is_ok() {
        let error = at_client.finish().unwrap_err();
        assert!(error.to_string().contains("after 0 of our 1 messages"), "{error}");
    }
}

#[test]
fn a_peer_that_vanishes_in_mid_message_is_a_lost_link() {
    let Pair { mut at_server, mut at_client, server: _server, client } = pair();
    at_client.send(1, vec![1; 200_000_000]).unwrap();
    let (started, reads) = mpsc::channel();
    let reader = thread::spawn(move || {
        started.send(()).unwrap();
        at_server.recv(1, 200_000_000)
    });
    reads.recv().unwrap();
    let start = Instant::now();
    drop(client);
    let error = reader.join().unwrap().unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "told at once, not found out by silence");
    assert!(
        matches!(&error, Error::Link { step: 1, peer, .. } if peer.starts_with("client")),
        "{error}"
    );
    let error = at_client.send(2, vec![]).unwrap_err();
    assert!(matches!(error, Error::Link { step: 2, .. }), "{error}");
}

#[test]
fn a_closed_endpoint_says_why() {
    let (s, c, d) = (identity("server"), identity("client"), identity("dealer"));
    let server = bind(&s, &[&c, &d]);
    let peers = [bind(&c, &[&s]), bind(&d, &[&s])];
    let mut links = [&peers[0], &peers[1]]
        .map(|peer| peer.connect(server.local_addr(), "server", DEADLINE).unwrap());
    let mut accepted = [(); 2].map(|()| server.accept(DEADLINE).unwrap());
    // Even behind a full queue.
    accepted[0].send(1, vec![1; 100_000_000]).unwrap();
    let start = Instant::now();
    server.close(&format!("restarts for an update\u{1b}[2J {}", "x".repeat(300)));
    for link in &mut links {
        let error = link.recv(1, 100_000_000).unwrap_err();
        let Error::Link { why, .. } = &error else { panic!("{error}") };
        assert!(why.starts_with("it went away: restarts for an update\\u{1b}[2J xxx"), "{why}");
        assert!(why.ends_with("xxx") && why.len() == "it went away: ".len() + 200, "{why}");
    }
    assert!(matches!(accepted[1].recv(1, 1), Err(Error::Link { .. })));
    assert!(matches!(server.accept(DEADLINE), Err(Error::Io { .. })));
    let error = server.connect(peers[0].local_addr(), "client", DEADLINE).err().unwrap();
    assert!(matches!(&error, Error::Io { .. }), "{error}");
    assert!(start.elapsed() < DEADLINE / 4, "all at once: {:?}", start.elapsed());
    drop(server);
}

#[test]
fn a_dropped_endpoint_tells_its_peers_at_once() {
    let Pair { at_server: _at_server, mut at_client, server, client: _client } = pair();
    let start = Instant::now();
    drop(server);
    let error = at_client.recv(1, 1).unwrap_err();
    assert!(matches!(&error, Error::Link { why, .. } if why.contains("went away")), "{error}");
    assert!(start.elapsed() < DEADLINE / 4);
}

#[test]
fn a_hanging_peer_meets_the_deadline() {
    let Pair { mut at_server, at_client, server: _server, client: _client } = pair();
    let deadline = Duration::from_millis(500);
    at_server.set_deadline(deadline);
    let start = Instant::now();
    let error = at_server.recv(4, 10).unwrap_err();
    let took = start.elapsed();
    assert!(
        matches!(&error, Error::Deadline { step: 4, peer, .. } if peer.starts_with("client")),
        "{error}"
    );
    assert!(took >= deadline && took < deadline * 11 / 10, "{took:?}");
    drop(at_client);
}

#[test]
fn a_killed_peer_is_noticed_while_nobody_asks_for_the_deadline() {
    let mut profile = Profile::loopback();
    profile.idle = Duration::from_secs(1);
    let (s, c) = (identity("server"), identity("client"));
    let server = bind_at(any_port(), &s, &[&c], profile.clone()).unwrap();
    // A relay stands for the network; when it stops, the peer is as good as killed.
    let relay = std::net::UdpSocket::bind(any_port()).unwrap();
    let relay_addr = relay.local_addr().unwrap();
    let (server_addr, (stop, stopped)) = (server.local_addr(), mpsc::channel::<()>());
    relay.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let relaying = thread::spawn(move || {
        let (mut buffer, mut client) = (vec![0; 65536], None);
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let Ok((len, from)) = relay.recv_from(&mut buffer) else {
                continue;
            };
            let to = if from == server_addr { client.unwrap() } else { server_addr };
            client = client.or(Some(from));
            relay.send_to(&buffer[..len], to).unwrap();
        }
    });
    let client = bind_at(any_port(), &c, &[&s], profile).unwrap();
    let mut at_client = client.connect(relay_addr, "server", DEADLINE).unwrap();
    let mut at_server = server.accept(DEADLINE).unwrap();
    at_client.send(1, vec![1]).unwrap();
    at_server.recv(1, 1).unwrap();
    drop(stop);
    relaying.join().unwrap();
    let start = Instant::now();
    let error = at_server.recv(2, 1).unwrap_err();
    assert!(matches!(&error, Error::Link { why, .. } if why.contains("silent")), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_wrong_step_or_length_names_both_sides_on_both_sides() {
    let Pair { mut at_server, mut at_client, server: _server, client: _client } = pair();
    at_client.send(5, vec![1; 10]).unwrap();
    let error = at_server.recv(7, 10).unwrap_err();
    assert!(matches!(error, Error::Desync { step: 7, their_step: 5, .. }), "{error}");
    let text = at_client.recv(8, 1).unwrap_err().to_string();
    assert!(text.contains("step 7") && text.contains("step 5"), "{text}");

    let Pair { mut at_server, mut at_client, server: _server, client: _client } = pair();
    // Far beyond the prefetch budget: refused by its header, before it is read.
    at_client.send(5, vec![0; 200 << 20]).unwrap();
    let error = at_server.recv_upto(5, 1000).unwrap_err();
    assert!(
        matches!(error, Error::Desync { step: 5, their_step: 5, their_len, .. } if their_len == 200 << 20)
    );
    let Pair { mut at_server, mut at_client, server: _server, client: _client } = pair();
    at_client.send(5, vec![1; 10]).unwrap();
    assert!(matches!(at_server.recv(5, 9).unwrap_err(), Error::Desync { their_len: 10, .. }));
}

#[test]
fn a_desync_is_told_at_once_even_behind_a_full_queue() {
    let Pair { mut at_server, mut at_client, server: _server, client: _client } = pair();
    at_server.send(1, vec![1; 200_000_000]).unwrap();
    at_client.send(5, vec![1]).unwrap();
    assert!(matches!(at_server.recv(6, 1).unwrap_err(), Error::Desync { .. }));
    let start = Instant::now();
    let text = at_client.recv(1, 200_000_000).unwrap_err().to_string();
    assert!(text.contains("step 6") && text.contains("step 5"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(5));
}
