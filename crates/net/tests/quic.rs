//! Links over real QUIC on 127.0.0.1.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sotto_net::{Endpoint, Error, Identity, Link, Profile, QuicLink, control};

const DEADLINE: Duration = Duration::from_secs(20);

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn bind(us: &Identity, peers: &[&Identity]) -> Endpoint {
    bind_at(any_port(), us, peers, Profile::loopback()).unwrap()
}

fn bind_at(
    addr: SocketAddr,
    us: &Identity,
    peers: &[&Identity],
    profile: Profile,
) -> Result<Endpoint, Error> {
    let peers: Vec<_> = peers
        .iter()
        .map(|peer| (peer.name().to_owned(), peer.certificate().clone()))
        .collect();
    Endpoint::bind(addr, us, &peers, profile)
}

fn identity(name: &str) -> Identity {
    Identity::generate(name).unwrap()
}

/// Two endpoints and the link between them, the server's end first.
struct Pair {
    server: Endpoint,
    client: Endpoint,
    at_server: QuicLink,
    at_client: QuicLink,
}

fn pair_with(profile: Profile) -> Pair {
    let (s, c) = (identity("server"), identity("client"));
    let server = bind_at(any_port(), &s, &[&c], profile.clone()).unwrap();
    let client = bind_at(any_port(), &c, &[&s], profile).unwrap();
    let at_client = client
        .connect(server.local_addr(), "server", DEADLINE)
        .unwrap();
    let at_server = server.accept(DEADLINE).unwrap();
    Pair {
        server,
        client,
        at_server,
        at_client,
    }
}

fn pair() -> Pair {
    pair_with(Profile::loopback())
}

/// Bytes that differ by place and by message.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|i| ((i ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

#[test]
fn ping_pong_and_counters() {
    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client: _client,
    } = pair();
    assert_eq!(at_server.name(), "client");
    assert!(
        at_server.peer().starts_with("client (127.0.0.1:"),
        "{}",
        at_server.peer()
    );
    assert!(
        at_client.peer().starts_with("server (127.0.0.1:"),
        "{}",
        at_client.peer()
    );
    for step in 0..200u32 {
        let len = step as usize * 37;
        at_client.send(step, pattern(1, len)).unwrap();
        assert_eq!(at_server.recv(step, len).unwrap(), pattern(1, len));
        at_server.send(step, pattern(2, len)).unwrap();
        assert_eq!(at_client.recv(step, len).unwrap(), pattern(2, len));
    }
    let (sent, got) = (at_client.traffic(), at_server.traffic());
    assert_eq!(sent.bytes_sent, 37 * 199 * 200 / 2);
    assert_eq!(
        (sent.bytes_sent, sent.messages_sent),
        (got.bytes_received, got.messages_received)
    );
    assert_eq!(
        (sent.bytes_received, sent.messages_received),
        (got.bytes_sent, 200)
    );
    assert!(sent.wire_sent > sent.bytes_sent && got.wire_received > got.bytes_received);
}

#[test]
fn bulk_arrives_whole_in_pieces_beyond_the_prefetch_budget() {
    let mut profile = Profile::loopback();
    profile.prefetch = 1 << 20;
    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client: _client,
    } = pair_with(profile);
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
    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client: _client,
    } = pair();
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
    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client: _client,
    } = pair_with(profile);
    let mut step = 0;
    let error = loop {
        match at_client.send(step, vec![3; 1 << 20]) {
            Ok(()) => step += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, Error::Overflow { limit, .. } if limit == 8 << 20),
        "{error}"
    );
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
    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client,
    } = pair();
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
        let Pair {
            mut at_server,
            mut at_client,
            server: _server,
            client: _client,
        } = pair();
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

#[test]
fn finish_tells_when_the_peer_left_too_early() {
    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client: _client,
    } = pair();
    at_server.finish().unwrap();
    // The link may or may not know by now that the peer is gone.
    if at_client.send(1, vec![1]).is_ok() {
        let error = at_client.finish().unwrap_err();
        assert!(
            error.to_string().contains("after 0 of our 1 messages"),
            "{error}"
        );
    }
}

#[test]
fn a_wrong_client_certificate_is_refused_by_name() {
    let (s, c, stranger) = (identity("server"), identity("client"), identity("client"));
    let server = bind(&s, &[&c]);
    let client = bind(&stranger, &[&s]);
    let start = Instant::now();
    let error = client
        .connect(server.local_addr(), "server", DEADLINE)
        .err()
        .unwrap();
    assert!(
        matches!(&error, Error::Identity { why, .. } if why.contains("refused our certificate")),
        "{error}"
    );
    assert!(
        start.elapsed() < DEADLINE / 2,
        "at once, not at the deadline"
    );
    assert!(server.accept(Duration::from_millis(100)).is_err());
    assert_eq!(server.refused(), [stranger.certificate().fingerprint()]);
    // The endpoint goes on.
    let honest = bind(&c, &[&s]);
    honest
        .connect(server.local_addr(), "server", DEADLINE)
        .unwrap();
    assert_eq!(server.accept(DEADLINE).unwrap().name(), "client");
}

#[test]
fn a_wrong_server_certificate_is_refused_with_both_fingerprints() {
    let (s, c, impostor) = (identity("server"), identity("client"), identity("server"));
    let server = bind(&impostor, &[&c]);
    let client = bind(&c, &[&s]);
    let error = client
        .connect(server.local_addr(), "server", DEADLINE)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains(&impostor.certificate().fingerprint()),
        "{error}"
    );
    assert!(error.contains(&s.certificate().fingerprint()), "{error}");
    assert!(server.accept(Duration::from_millis(100)).is_err());
    assert!(matches!(
        client.connect(server.local_addr(), "nobody", DEADLINE),
        Err(Error::Config(_))
    ));
}

#[test]
fn a_peer_that_vanishes_in_mid_message_is_a_lost_link() {
    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client,
    } = pair();
    at_client.send(1, vec![1; 200_000_000]).unwrap();
    let (started, start) = mpsc::channel();
    let reader = thread::spawn(move || {
        started.send(()).unwrap();
        at_server.recv(1, 200_000_000)
    });
    start.recv().unwrap();
    drop(client);
    let error = reader.join().unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Link { step: 1, peer, .. } if peer.starts_with("client")),
        "{error}"
    );
    let error = at_client.send(2, vec![]).unwrap_err();
    assert!(matches!(error, Error::Link { step: 2, .. }), "{error}");
}

#[test]
fn a_hanging_peer_meets_the_deadline() {
    let Pair {
        mut at_server,
        at_client,
        server: _server,
        client: _client,
    } = pair();
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
    relay
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let relaying = thread::spawn(move || {
        let (mut buffer, mut client) = (vec![0; 65536], None);
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let Ok((len, from)) = relay.recv_from(&mut buffer) else {
                continue;
            };
            let to = if from == server_addr {
                client.unwrap()
            } else {
                server_addr
            };
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
    assert!(
        matches!(&error, Error::Link { why, .. } if why.contains("silent")),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_wrong_step_or_length_names_both_sides_on_both_sides() {
    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client: _client,
    } = pair();
    at_client.send(5, vec![1; 10]).unwrap();
    let error = at_server.recv(7, 10).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Desync {
                step: 7,
                their_step: 5,
                ..
            }
        ),
        "{error}"
    );
    let text = at_client.recv(8, 1).unwrap_err().to_string();
    assert!(text.contains("step 7") && text.contains("step 5"), "{text}");

    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client: _client,
    } = pair();
    // Far beyond the prefetch budget: refused by its header, before it is read.
    at_client.send(5, vec![0; 200 << 20]).unwrap();
    let error = at_server.recv_upto(5, 1000).unwrap_err();
    assert!(
        matches!(error, Error::Desync { step: 5, their_step: 5, their_len, .. } if their_len == 200 << 20)
    );
    let Pair {
        mut at_server,
        mut at_client,
        server: _server,
        client: _client,
    } = pair();
    at_client.send(5, vec![1; 10]).unwrap();
    assert!(matches!(
        at_server.recv(5, 9).unwrap_err(),
        Error::Desync { their_len: 10, .. }
    ));
}

#[test]
fn two_clients_share_one_endpoint() {
    let (s, c, d) = (identity("server"), identity("client"), identity("dealer"));
    let server = bind(&s, &[&c, &d]);
    let clients: Vec<_> = [c, d]
        .into_iter()
        .map(|us| {
            let endpoint = bind(&us, &[&s]);
            let addr = server.local_addr();
            thread::spawn(move || {
                let mut link = endpoint.connect(addr, "server", DEADLINE).unwrap();
                control::send(&mut link, 0, &us.name().to_owned()).unwrap();
                assert_eq!(control::recv::<String>(&mut link, 1).unwrap(), us.name());
                link.finish().unwrap();
            })
        })
        .collect();
    let mut names = Vec::new();
    let mut links: Vec<_> = (0..2).map(|_| server.accept(DEADLINE).unwrap()).collect();
    for link in &mut links {
        let name: String = control::recv(link, 0).unwrap();
        assert_eq!(name, link.name());
        control::send(link, 1, &name).unwrap();
        names.push(name);
    }
    for link in &mut links {
        link.finish().unwrap();
    }
    for client in clients {
        client.join().unwrap();
    }
    names.sort();
    assert_eq!(names, ["client", "dealer"]);
}

#[test]
fn connect_waits_for_a_late_server_and_survives_its_restart() {
    let (s, c) = (identity("server"), identity("client"));
    let addr = bind(&s, &[&c]).local_addr();
    let client = bind(&c, &[&s]);
    let start = Instant::now();
    let short = Duration::from_millis(300);
    let error = client.connect(addr, "server", short).err().unwrap();
    assert!(
        matches!(&error, Error::Link { why, .. } if why.contains("nobody answers")),
        "{error}"
    );
    assert!(start.elapsed() < 3 * short);
    for _ in 0..2 {
        let (link, (server, mut accepted)) = thread::scope(|scope| {
            let connecting = scope.spawn(|| client.connect(addr, "server", DEADLINE));
            let serving = scope.spawn(|| {
                let server = bind_at(addr, &s, &[&c], Profile::loopback()).unwrap();
                let link = server.accept(DEADLINE).unwrap();
                (server, link)
            });
            (connecting.join().unwrap().unwrap(), serving.join().unwrap())
        });
        let mut link = link;
        link.send(1, vec![1]).unwrap();
        assert_eq!(accepted.recv(1, 1).unwrap(), [1]);
        drop(server);
        assert!(matches!(
            link.recv(2, 1).unwrap_err(),
            Error::Link { step: 2, .. }
        ));
    }
}

#[test]
fn a_slow_handshake_holds_nobody_up() {
    let (s, c) = (identity("server"), identity("client"));
    let server = bind(&s, &[&c]);
    let addr = server.local_addr();
    // Datagrams that begin a handshake and never go on, and noise.
    let noise = std::net::UdpSocket::bind(any_port()).unwrap();
    for len in [0usize, 1, 20, 1200, 6500] {
        noise.send_to(&pattern(9, len), addr).unwrap();
    }
    let mut initial = vec![0; 1200];
    initial[..7].copy_from_slice(&[0xc0, 0, 0, 0, 1, 8, 1]);
    for id in 0..100 {
        initial[8] = id;
        noise.send_to(&initial, addr).unwrap();
    }
    let client = bind(&c, &[&s]);
    client
        .connect(addr, "server", Duration::from_secs(5))
        .unwrap();
    server.accept(DEADLINE).unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let us = identity("server");
    for mtu in [100, 1199, 9000] {
        let mut profile = Profile::loopback();
        profile.mtu = mtu;
        assert!(
            matches!(
                bind_at(any_port(), &us, &[], profile),
                Err(Error::Config(_))
            ),
            "{mtu}"
        );
    }
    let first = bind(&us, &[]);
    let again = bind_at(first.local_addr(), &us, &[], Profile::loopback());
    assert!(matches!(again, Err(Error::Io { .. })));
}
