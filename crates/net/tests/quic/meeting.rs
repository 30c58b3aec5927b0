//! How links come about: certificates, late servers, restarts, strangers.

use super::*;

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
