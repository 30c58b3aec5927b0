//! How links come about: certificates, late servers, restarts, strangers.

use super::*;

#[test]
fn a_wrong_client_certificate_is_refused_by_name() {
    let (s, c, stranger) = (identity("server"), identity("client"), identity("client"));
    let server = bind(&s, &[&c]);
    let client = bind(&stranger, &[&s]);
    let start = Instant::now();
    let error = client.connect(server.local_addr(), "server", DEADLINE).err().unwrap();
    assert!(
        matches!(&error, Error::Identity { why, .. } if why.contains("refused our certificate")),
        "{error}"
    );
    assert!(start.elapsed() < DEADLINE / 2, "at once, not at the deadline");
    assert!(server.accept(Duration::from_millis(100)).is_err());
    assert_eq!(server.refused(), [stranger.certificate().fingerprint()]);
    // The endpoint goes on.
    let honest = bind(&c, &[&s]);
    let _link = honest.connect(server.local_addr(), "server", DEADLINE).unwrap();
    assert_eq!(server.accept(DEADLINE).unwrap().name(), "client");
}

#[test]
fn a_wrong_server_certificate_is_refused_with_both_fingerprints() {
    let (s, c, impostor) = (identity("server"), identity("client"), identity("server"));
    let server = bind(&impostor, &[&c]);
    let client = bind(&c, &[&s]);
    let start = Instant::now();
    let error = client.connect(server.local_addr(), "server", DEADLINE).err().unwrap().to_string();
    assert!(start.elapsed() < DEADLINE / 2, "at once, not at the deadline");
    assert!(error.contains(&impostor.certificate().fingerprint()), "{error}");
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
    assert!(matches!(&error, Error::Link { why, .. } if why.contains("nobody answers")), "{error}");
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
        assert!(matches!(link.recv(2, 1).unwrap_err(), Error::Link { step: 2, .. }));
    }
}

#[test]
fn noise_and_stalled_handshakes_hold_nobody_up() {
    let (s, c) = (identity("server"), identity("client"));
    let server = bind(&s, &[&c]);
    let addr = server.local_addr();
    let noise = std::net::UdpSocket::bind(any_port()).unwrap();
    for len in [0usize, 1, 20, 1200, 6500] {
        noise.send_to(&pattern(9, len), addr).unwrap();
    }
    // A relay that carries nothing back: every attempt through it stalls in the server, more of
    // them than it takes on without an address proof.
    let relay = std::net::UdpSocket::bind(any_port()).unwrap();
    let relay_addr = relay.local_addr().unwrap();
    relay.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let relaying = thread::spawn(move || {
        let (mut buffer, mut forwarded) = (vec![0; 65536], 0);
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            match relay.recv_from(&mut buffer) {
                Ok((len, from)) if from != addr => {
                    relay.send_to(&buffer[..len], addr).unwrap();
                    forwarded += 1;
                }
                _ => {}
            }
        }
        forwarded
    });
    let mut hasty = Profile::loopback();
    hasty.attempt = Duration::from_millis(10);
    let staller = bind_at(any_port(), &c, &[&s], hasty).unwrap();
    assert!(staller.connect(relay_addr, "server", Duration::from_millis(1500)).is_err());
    let client = bind(&c, &[&s]);
    let _link = client.connect(addr, "server", Duration::from_secs(5)).unwrap();
    assert_eq!(server.accept(DEADLINE).unwrap().name(), "client");
    drop(stop);
    assert!(relaying.join().unwrap() > 20);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let us = identity("server");
    for mtu in [100, 1199, 6551, 9000] {
        let mut profile = Profile::loopback();
        profile.mtu = mtu;
        assert!(matches!(bind_at(any_port(), &us, &[], profile), Err(Error::Config(_))), "{mtu}");
    }
    for limits in [Limits { per_name: 0, all: 1 }, Limits { per_name: 1, all: 0 }] {
        let mut profile = Profile::loopback();
        profile.limits = limits;
        assert!(matches!(bind_at(any_port(), &us, &[], profile), Err(Error::Config(_))));
    }
    let first = bind(&us, &[]);
    let again = bind_at(first.local_addr(), &us, &[], Profile::loopback());
    assert!(matches!(again, Err(Error::Io { .. })));
}

#[test]
fn a_short_link_may_be_over_before_it_is_accepted() {
    let (s, c) = (identity("server"), identity("client"));
    let (server, client) = (bind(&s, &[&c]), bind(&c, &[&s]));
    // One that broke, which nobody should get, and one that finished.
    drop(client.connect(server.local_addr(), "server", DEADLINE).unwrap());
    let mut link = client.connect(server.local_addr(), "server", DEADLINE).unwrap();
    link.send(1, vec![7; 100]).unwrap();
    link.finish().unwrap();
    let deadline = Instant::now() + DEADLINE;
    let got = loop {
        // The break of the first may not have arrived yet: then it shows at the first use.
        let got = server.accept(DEADLINE).unwrap().recv(1, 100);
        if got.is_ok() || Instant::now() > deadline {
            break got;
        }
    };
    assert_eq!(got.unwrap(), [7; 100]);
}
