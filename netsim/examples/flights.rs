//! How close flights in the middle of a session come to what a network allows.
//!
//! `cargo run --release -p sotto-netsim --example flights [--json] [NETWORK ...]`
//!
//! Both sides send a message of so many bytes and wait for the other's, as at every level of a
//! plan. The limit is one propagation delay and the bytes at the path's rate.

mod ends;

use std::error::Error;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{env, thread};

use ends::Ends;
use sotto_net::{Link, QuicLink};
use sotto_netsim::{Direction, Network};

const DEADLINE: Duration = Duration::from_secs(60);
const SIZES: [usize; 6] = [1_000, 16_000, 64_000, 256_000, 1_000_000, 4_000_000];
/// Flights before those that are timed: the session's beginning.
const EARLIER: u32 = 4;
const FLIGHTS: u32 = 12;
/// A batch of corrections, in messages.
const BULK: (u32, usize) = (7, 8 << 20);

fn main() -> Result<(), Box<dyn Error>> {
    let (options, mut names): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|a| a.starts_with("--"));
    let json = options.iter().any(|a| a == "--json");
    if names.is_empty() {
        names = ["lan", "lan-cheetah", "wan-cheetah", "wan"].map(String::from).to_vec();
    }
    for name in names {
        measure(&Network::preset(&name)?, json)?;
    }
    Ok(())
}

fn measure(network: &Network, json: bool) -> Result<(), Box<dyn Error>> {
    let path = &network.client_server;
    let Ends { server, client, link, between: _between } = Ends::new(network)?;
    if !json {
        println!("{}", network.name);
        println!("{:>9} {:>10} {:>10} {:>7}", "bytes", "ms", "limit ms", "ratio");
    }
    let limit = |d: &Direction, bytes: usize| d.delay + bytes as f64 / d.rate;
    let together = Arc::new(Barrier::new(2));
    let theirs = Arc::clone(&together);
    let there = thread::spawn(move || -> Result<(), sotto_net::Error> {
        let mut link = server.accept(DEADLINE)?;
        link.set_deadline(DEADLINE);
        bulk_in(&mut link)?;
        for size in SIZES {
            flights(&mut link, size, &theirs)?;
        }
        bulk_in(&mut link)?;
        link.finish()
    });
    let mut own = client.connect(link.address(), "server", DEADLINE)?;
    own.set_deadline(DEADLINE);
    let show = |what: &str, seconds: f64, limit: f64| {
        let ratio = seconds / limit;
        let (ms, limit) = (seconds * 1e3, limit * 1e3);
        if json {
            println!(
                "{{\"network\":\"{}\",\"what\":\"{what}\",\"ms\":{ms:.3},\"limit_ms\":{limit:.3},\"ratio\":{ratio:.3}}}",
                network.name
            );
        } else {
            println!("{what:>9} {ms:>10.3} {limit:>10.3} {ratio:>7.3}");
        }
    };
    let all = BULK.0 as usize * BULK.1;
    // The last message is answered: one delay more.
    let bulk_limit = limit(&path.up, all) + path.down.delay;
    show("bulk 1st", bulk_out(&mut own)?, bulk_limit);
    for size in SIZES {
        let seconds = flights(&mut own, size, &together)?;
        show(&size.to_string(), seconds, limit(&path.up, size).max(limit(&path.down, size)));
    }
    show("bulk", bulk_out(&mut own)?, bulk_limit);
    own.finish()?;
    there.join().map_err(|_| "the other side failed")??;
    if !json {
        let s = link.statistics();
        println!("up {:?}\ndown {:?}\n", s.up, s.down);
    }
    Ok(())
}

/// Mean seconds of a flight; both sides begin together, and after that wait for each other
/// through their messages alone.
fn flights(link: &mut QuicLink, size: usize, together: &Barrier) -> Result<f64, sotto_net::Error> {
    let mut payloads: Vec<_> = (0..EARLIER + FLIGHTS).map(|_| vec![7; size]).collect();
    together.wait();
    let mut start = Instant::now();
    for step in 0..EARLIER + FLIGHTS {
        if step == EARLIER {
            start = Instant::now();
        }
        link.send(step, payloads.pop().unwrap_or_default())?;
        link.recv(step, size)?;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(FLIGHTS))
}

fn bulk_out(link: &mut QuicLink) -> Result<f64, sotto_net::Error> {
    let payloads: Vec<_> = (0..BULK.0).map(|_| vec![7; BULK.1]).collect();
    let start = Instant::now();
    for (step, payload) in (0..).zip(payloads) {
        link.send(step, payload)?;
    }
    link.recv(BULK.0, 0)?;
    Ok(start.elapsed().as_secs_f64())
}

fn bulk_in(link: &mut QuicLink) -> Result<(), sotto_net::Error> {
    for step in 0..BULK.0 {
        link.recv(step, BULK.1)?;
    }
    link.send(BULK.0, Vec::new())
}
