//! Links over real QUIC on 127.0.0.1.

mod faults;
mod floods;
mod limits;
mod links;
mod lists;
mod meeting;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sotto_net::{Certificate, Endpoint, Error, Identity, Limits, Link, Profile, QuicLink, control};

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
    Endpoint::bind(addr, us, &pins(peers), &pins(peers), profile)
}

fn pins(peers: &[&Identity]) -> Vec<(String, Certificate)> {
    peers.iter().map(|peer| (peer.name().to_owned(), peer.certificate().clone())).collect()
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
    let at_client = client.connect(server.local_addr(), "server", DEADLINE).unwrap();
    let at_server = server.accept(DEADLINE).unwrap();
    Pair { server, client, at_server, at_client }
}

fn pair() -> Pair {
    pair_with(Profile::loopback())
}

/// Bytes that differ by place and by message.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| ((i ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}
