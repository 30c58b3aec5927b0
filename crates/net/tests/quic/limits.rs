//! How many links a peer may have.

use super::*;

fn limited(per_name: usize, all: usize) -> Profile {
    let mut profile = Profile::loopback();
    profile.limits = Limits { per_name, all };
    profile
}

#[test]
fn one_link_too_many_is_refused_until_one_is_dropped() {
    let (s, c) = (identity("server"), identity("client"));
    let server = bind_at(any_port(), &s, &[&c], limited(2, 10)).unwrap();
    let client = bind(&c, &[&s]);
    let connect = || client.connect(server.local_addr(), "server", DEADLINE);
    let mut dialled = [connect().unwrap(), connect().unwrap()];
    // Whether anybody has accepted them makes no difference.
    let mut first = server.accept(DEADLINE).unwrap();
    let start = Instant::now();
    let error = connect().err().unwrap();
    assert!(start.elapsed() < DEADLINE / 4, "at once, not at the deadline");
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("2 links of `client`") && text.contains("raise the limit"), "{text}");
    // The others go on.
    dialled[0].send(1, vec![7]).unwrap();
    assert_eq!(first.recv(1, 1).unwrap(), [7]);
    drop(first);
    let _third = connect().unwrap();
    assert!(matches!(connect(), Err(Error::Busy { .. })));
}

#[test]
fn the_links_of_all_peers_are_limited_too() {
    let (s, c, d) = (identity("server"), identity("client"), identity("dealer"));
    let server = bind_at(any_port(), &s, &[&c, &d], limited(2, 3)).unwrap();
    let (client, dealer) = (bind(&c, &[&s]), bind(&d, &[&s]));
    let addr = server.local_addr();
    let _clients = [(); 2].map(|()| client.connect(addr, "server", DEADLINE).unwrap());
    let _dealers = dealer.connect(addr, "server", DEADLINE).unwrap();
    let error = dealer.connect(addr, "server", DEADLINE).err().unwrap();
    assert!(matches!(&error, Error::Busy { why, .. } if why.starts_with("3 links")), "{error}");
}

#[test]
fn forty_links_at_once_are_never_more_than_the_limit() {
    let (s, c) = (identity("server"), identity("client"));
    let server = bind_at(any_port(), &s, &[&c], limited(16, 256)).unwrap();
    let client = bind(&c, &[&s]);
    let links: Vec<_> = thread::scope(|scope| {
        let connect = || client.connect(server.local_addr(), "server", DEADLINE);
        let all: Vec<_> = (0..40).map(|_| scope.spawn(connect)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(links.iter().all(|link| matches!(link, Ok(_) | Err(Error::Busy { .. }))));
    assert_eq!(links.iter().filter(|link| link.is_ok()).count(), 16);
    let mut accepted: Vec<_> = (0..16).map(|_| server.accept(DEADLINE).unwrap()).collect();
    assert!(server.accept(Duration::from_millis(200)).is_err());
    drop(accepted.pop());
    let _again = client.connect(server.local_addr(), "server", DEADLINE).unwrap();
    accepted.push(server.accept(DEADLINE).unwrap());
}
