//! Strangers who take what they can get.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Carries a stranger's first packets to `server` from the address 127.0.0.`host`, and only demands
/// for an address proof back: every handshake stops half way, and its end is never told.
fn half_relay(
    host: u8,
    server: SocketAddr,
    stop: Arc<AtomicBool>,
    carried: mpsc::Sender<()>,
) -> SocketAddr {
    let relay = UdpSocket::bind((std::net::Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
    relay.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let addr = relay.local_addr().unwrap();
    thread::spawn(move || {
        let (mut buffer, mut stranger, mut seen) = (vec![0; 65536], None, HashSet::new());
        while !stop.load(Ordering::Relaxed) {
            let Ok((len, from)) = relay.recv_from(&mut buffer) else { continue };
            if from == server {
                // Of the long headers, type 3 is a Retry.
                if buffer[0] & 0xf0 == 0xf0 {
                    relay.send_to(&buffer[..len], stranger.unwrap()).unwrap();
                }
                continue;
            }
            stranger = Some(from);
            // The first packet for each connection id that the server is called by.
            let id = buffer[6..6 + usize::from(buffer[5])].to_vec();
            if buffer[0] & 0xf0 == 0xc0 && seen.insert(id) {
                relay.send_to(&buffer[..len], server).unwrap();
                let _ = carried.send(());
            }
        }
    });
    addr
}

/// How long an honest client takes to get in while strangers at so many addresses start handshakes.
fn time_to_connect_among(addresses: u8) -> Duration {
    let (s, c, stranger) = (identity("server"), identity("client"), identity("stranger"));
    let server = bind(&s, &[&c]);
    let addr = server.local_addr();
    let mut hasty = Profile::loopback();
    hasty.attempt = Duration::from_millis(30);
    let stranger = bind_at(any_port(), &stranger, &[&s], hasty).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (one, carried) = mpsc::channel();
    thread::scope(|scope| {
        for host in 2..2 + addresses {
            let relay = half_relay(host, addr, Arc::clone(&stop), one.clone());
            // As many at once for few addresses as for many.
            for _ in 0..20 / addresses {
                let (stop, stranger) = (&stop, &stranger);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let _ = stranger.connect(relay, "server", Duration::from_millis(300));
                    }
                });
            }
        }
        let flooded = (0..300).all(|_| carried.recv_timeout(DEADLINE).is_ok());
        let client = bind(&c, &[&s]);
        let start = Instant::now();
        let link = client.connect(addr, "server", DEADLINE);
        let took = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        link.unwrap();
        assert!(flooded);
        took
    })
}

#[test]
fn a_peer_that_takes_no_hello_is_dropped_and_may_come_again() {
    let (s, c) = (identity("server"), identity("client"));
    let mut profile = Profile::loopback();
    profile.limits = Limits { per_name: 1, all: 1 };
    let server = bind_at(any_port(), &s, &[&c], profile.clone()).unwrap();
    // It lets nobody send to it: the server cannot say hello.
    profile.receive_window = 0;
    let client = bind_at(any_port(), &c, &[&s], profile).unwrap();
    // Longer than a handshake may take: the second attempt would be refused if the first were held.
    let error = client.connect(server.local_addr(), "server", Duration::from_secs(12));
    let error = error.err().unwrap();
    assert!(matches!(&error, Error::Link { why, .. } if why.contains("dropped")), "{error}");
}

#[test]
fn one_stranger_cannot_hold_every_place() {
    let took = time_to_connect_among(1);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_stranger_of_many_addresses_shuts_nobody_out() {
    let took = time_to_connect_among(20);
    assert!(took < Duration::from_secs(1), "{took:?}");
}
