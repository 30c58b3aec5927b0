//! Whom an endpoint dials and whom it accepts are two lists.

use super::*;

/// An endpoint that dials `dial` and accepts `accept`.
fn bind_lists(us: &Identity, dial: &[&Identity], accept: &[&Identity]) -> Endpoint {
    Endpoint::bind(any_port(), us, &pins(dial), &pins(accept), Profile::loopback()).unwrap()
}

#[test]
fn a_peer_that_we_dial_may_not_dial_us() {
    let (s, c, d) = (identity("server"), identity("client"), identity("dealer"));
    let server = bind_lists(&s, &[&d], &[&c]);
    let dealer = bind_lists(&d, &[&s], &[&s]);
    let error = dealer.connect(server.local_addr(), "server", DEADLINE).err().unwrap();
    assert!(
        matches!(&error, Error::Identity { why, .. } if why.contains("refused our certificate")),
        "{error}"
    );
    assert_eq!(server.refused(), [d.certificate().fingerprint()], "by TLS");
    // The other way round it is welcome.
    let _link = server.connect(dealer.local_addr(), "dealer", DEADLINE).unwrap();
    assert_eq!(dealer.accept(DEADLINE).unwrap().name(), "server");
}

#[test]
fn a_peer_that_we_accept_is_not_dialled() {
    let (s, c) = (identity("server"), identity("client"));
    let server = bind_lists(&s, &[], &[&c]);
    let client = bind_lists(&c, &[&s], &[&s]);
    assert!(matches!(
        server.connect(client.local_addr(), "client", DEADLINE),
        Err(Error::Config(why)) if why.contains("dialling client")
    ));
    let _link = client.connect(server.local_addr(), "server", DEADLINE).unwrap();
    assert_eq!(server.accept(DEADLINE).unwrap().name(), "client");
}

#[test]
fn an_endpoint_that_accepts_nobody_does_not_listen() {
    let (s, c) = (identity("server"), identity("client"));
    let client = bind_lists(&c, &[&s], &[]);
    let start = Instant::now();
    assert!(matches!(client.accept(DEADLINE), Err(Error::Config(_))));
    assert!(start.elapsed() < Duration::from_secs(1), "at once");
    // A relay counts what comes back to a peer that dials it.
    let relay = std::net::UdpSocket::bind(any_port()).unwrap();
    let relay_addr = relay.local_addr().unwrap();
    relay.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let client_addr = client.local_addr();
    let (stop, stopped) = mpsc::channel::<()>();
    let counting = thread::spawn(move || {
        let (mut buffer, mut there, mut back) = (vec![0; 65536], 0, Vec::new());
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            match relay.recv_from(&mut buffer) {
                Ok((len, from)) if from == client_addr => back.push(buffer[..len].to_vec()),
                Ok((len, _)) => {
                    relay.send_to(&buffer[..len], client_addr).unwrap();
                    there += 1;
                }
                Err(_) => {}
            }
        }
        (there, back)
    });
    let server = bind_lists(&s, &[&c], &[&c]);
    let error = server.connect(relay_addr, "client", Duration::from_secs(2)).err().unwrap();
    assert!(matches!(&error, Error::Link { why, .. } if why.contains("nobody answers")), "{error}");
    drop(stop);
    let (there, back) = counting.join().unwrap();
    assert!(there >= 3, "{there}");
    // quinn sends one stateless reset, which says nothing.
    assert!(back.len() <= 1 && back.iter().all(|packet| packet[0] & 0x80 == 0), "{back:?}");
    // Dialling works as ever.
    let _link = client.connect(server.local_addr(), "server", DEADLINE).unwrap();
    assert_eq!(server.accept(DEADLINE).unwrap().name(), "client");
}

#[test]
fn one_key_under_two_names_is_refused() {
    let (s, c) = (identity("server"), identity("client"));
    let twice = [("client".to_owned(), c.certificate().clone())];
    let other = [("dealer".to_owned(), c.certificate().clone())];
    let error = Endpoint::bind(any_port(), &s, &twice, &other, Profile::loopback()).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, Error::Config(_)), "{text}");
    assert!(text.contains("client") && text.contains("dealer"), "{text}");
}

/// Who is taken off the list loses its links, others keep theirs; a party that changes its key is one party.
#[test]
fn lists_change_while_links_stand() {
    let [s, a, b, c] = ["server", "a", "b", "c"].map(|name| Identity::generate(name).unwrap());
    let renewed = Identity::generate("a").unwrap();
    let server = bind_lists(&s, &[], &[&a, &b]);
    let at = server.local_addr();
    let dials = |us: &Identity| bind_lists(us, &[&s], &[]);
    let (from_a, from_b, from_c) = (dials(&a), dials(&b), dials(&c));
    let wait = Duration::from_secs(10);
    let mut by_a = from_a.connect(at, "server", wait).unwrap();
    let mut with_a = server.accept(wait).unwrap();
    let mut by_b = from_b.connect(at, "server", wait).unwrap();
    let mut with_b = server.accept(wait).unwrap();
    assert!(matches!(from_c.connect(at, "server", wait), Err(Error::Identity { .. })));

    // A has a second certificate, B goes, C comes.
    let pins = [pins(&[&a, &c]), vec![("a".to_owned(), renewed.certificate().clone())]].concat();
    server.replace_peers(&s, &[], &pins).unwrap();
    by_a.send(1, vec![1]).unwrap();
    assert_eq!(with_a.recv(1, 1).unwrap(), [1]);
    let gone = by_b.recv(1, 1).unwrap_err().to_string();
    assert!(gone.contains("may not connect here any more"), "{gone}");
    assert!(with_b.recv(1, 1).is_err());
    assert!(matches!(from_b.connect(at, "server", wait), Err(Error::Identity { .. })));
    let _by_c = from_c.connect(at, "server", wait).unwrap();
    assert_eq!(server.accept(wait).unwrap().name(), "c");
    let from_renewed = dials(&renewed);
    let _by_renewed = from_renewed.connect(at, "server", wait).unwrap();
    assert_eq!(server.accept(wait).unwrap().name(), "a");

    // What is wrong changes nothing.
    assert!(server.replace_peers(&s, &[], &[("x".to_owned(), s.certificate().clone())]).is_err());
    by_a.send(1, vec![2]).unwrap();
    assert_eq!(with_a.recv(1, 1).unwrap(), [2]);
    assert!(from_a.replace_peers(&a, &[], &pins[..1]).is_err());
}
