//! M7: strangers who start handshakes and never finish them.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread::{self, Scope},
    time::{Duration, Instant},
};

use sotto_net::{Identity, Profile};

use crate::{error::Error, peer, process::wait_for, report::Found, scene::Scene};

/// First packets that have reached the server before the honest client comes.
const FLOOD: usize = 300;

/// What a flood has in common.
#[derive(Default)]
struct Flood {
    stop: AtomicBool,
    carried: AtomicUsize,
}

/// Carries a stranger's first packets to `server` from the address 127.0.0.`host`, and only demands for an address proof
/// back: every handshake stops half way.
fn half_relay<'a>(
    scope: &'a Scope<'a, '_>,
    flood: &'a Flood,
    host: u8,
    server: SocketAddr,
) -> std::io::Result<SocketAddr> {
    let relay = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0))?;
    relay.set_read_timeout(Some(Duration::from_millis(20)))?;
    let address = relay.local_addr()?;
    scope.spawn(move || {
        let (mut buffer, mut stranger, mut seen) = (vec![0; 65536], None, HashSet::new());
        while !flood.stop.load(Ordering::Relaxed) {
            let Ok((len, from)) = relay.recv_from(&mut buffer) else { continue };
            let packet = &buffer[..len];
            if from == server {
                // Of the long headers, type 3 is a Retry.
                if let (Some(stranger), 0xf0) = (stranger, packet[0] & 0xf0) {
                    drop(relay.send_to(packet, stranger));
                }
                continue;
            }
            stranger = Some(from);
            // The first packet for each connection id that the server is called by.
            let id = packet.get(6..6 + usize::from(packet[5])).unwrap_or_default().to_vec();
            if packet[0] & 0xf0 == 0xc0 && seen.insert(id) {
                drop(relay.send_to(packet, server));
                flood.carried.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    Ok(address)
}

/// How long an honest client takes to get in meanwhile.
fn time_to_connect(scene: &Scene, addresses: u8) -> Result<Duration, Error> {
    let dealer = scene.dealer()?;
    let mut hasty = Profile::loopback();
    hasty.attempt = Duration::from_millis(30);
    let stranger = scene.endpoint_with("stranger", &["dealer"], &[], hasty)?;
    let honest = scene.endpoint("client", &["dealer"], &[])?;
    let flood = &Flood::default();
    thread::scope(|scope| {
        let mut started = Ok(());
        for host in 2..2 + addresses {
            let relay = match half_relay(scope, flood, host, dealer.address) {
                Ok(relay) => relay,
                Err(e) => {
                    started = Err(Error::scene(e));
                    break;
                }
            };
            for _ in 0..20 / addresses {
                let stranger = &stranger;
                scope.spawn(move || {
                    while !flood.stop.load(Ordering::Relaxed) {
                        drop(stranger.connect(relay, "dealer", Duration::from_millis(300)));
                    }
                });
            }
        }
        let enough = || (flood.carried.load(Ordering::Relaxed) >= FLOOD).then_some(());
        let flooded = started.and_then(|()| wait_for("a flood", enough));
        let start = Instant::now();
        let link = flooded.and_then(|()| peer::connect(&honest, "dealer", &dealer));
        let took = start.elapsed();
        flood.stop.store(true, Ordering::Relaxed);
        link.map(|_| took)
    })
}

/// M7: from one address and from twenty.
pub fn handshakes(scene: &Scene) -> Result<Found, Error> {
    let tried = format!("{FLOOD} ClientHellos that go no further, from one address and from 20");
    Identity::generate("stranger")?.save(&scene.path(""))?;
    let one = time_to_connect(scene, 1)?;
    let many = time_to_connect(scene, 20)?;
    let held = one.max(many) < Duration::from_secs(3);
    let ms = |time: Duration| time.as_millis();
    let got = format!("an honest client gets in within {} ms and {} ms", ms(one), ms(many));
    Ok(Found::new(held, tried, got))
}
