//! Latency and throughput of a link between two processes on this machine.
//!
//! `cargo run --release -p sotto-net --example link_speed [spin-us]`

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sotto_net::{Certificate, Endpoint, Identity, Link, Profile};

const DEADLINE: Duration = Duration::from_secs(30);
const BULK: usize = 16 << 20;
const BULKS: u32 = 32;
/// Payload bytes and rounds of each ping-pong.
const PINGS: [(usize, u32); 5] =
    [(64, 5000), (16 << 10, 2000), (64 << 10, 1000), (256 << 10, 500), (1 << 20, 150)];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    match args.next() {
        Some(word) if word == "echo" => {
            let spin = args.next().ok_or("spin")?.parse()?;
            echo(args.next().ok_or("a folder")?.as_ref(), spin)
        }
        word => measure(word.map_or(Ok(0), |word| word.parse())?),
    }
}

fn profile(spin: u64) -> Profile {
    let mut profile = Profile::loopback();
    profile.spin = Duration::from_micros(spin);
    profile
}

/// The other process: answers every exchange with its own message of the same size.
fn echo(dir: &std::path::Path, spin: u64) -> Result<(), Box<dyn Error>> {
    let identity = Identity::load(dir, "server")?;
    let peers = [("client".into(), Certificate::load(&dir.join("client.cert"))?)];
    let endpoint = Endpoint::bind("127.0.0.1:0".parse()?, &identity, &[], &peers, profile(spin))?;
    println!("{}", endpoint.local_addr());
    let mut link = endpoint.accept(DEADLINE)?;
    for (len, rounds) in PINGS {
        for step in 0..rounds {
            let got = link.recv(step, len)?;
            link.send(step, got)?;
        }
        for step in 0..rounds {
            link.send(step, vec![1; len])?;
            link.recv(step, len)?;
        }
    }
    for step in 0..BULKS {
        link.recv(step, BULK)?;
    }
    link.send(BULKS, Vec::new())?;
    link.finish()?;
    Ok(())
}

fn measure(spin: u64) -> Result<(), Box<dyn Error>> {
    let dir = env::temp_dir().join(format!("sotto-link-speed-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let (server, client) = (Identity::generate("server")?, Identity::generate("client")?);
    server.save(&dir)?;
    client.certificate().save(&dir.join("client.cert"))?;
    let mut child = Command::new(env::current_exe()?)
        .args(["echo".as_ref(), spin.to_string().as_ref(), dir.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    std::fs::remove_dir_all(&dir)?;
    let addr: SocketAddr = line.trim().parse()?;

    let peers = [("server".into(), server.certificate().clone())];
    let endpoint = Endpoint::bind("127.0.0.1:0".parse()?, &client, &peers, &[], profile(spin))?;
    let start = Instant::now();
    let mut link = endpoint.connect(addr, "server", DEADLINE)?;
    println!("connect {:.1?}", start.elapsed());
    println!(
        "{:>9} {:>14} {:>14} {:>10} {:>10}",
        "bytes", "ping-pong mean", "exchange mean", "p50", "p99"
    );
    for (len, rounds) in PINGS {
        let payload = vec![7; len];
        let start = Instant::now();
        for step in 0..rounds {
            link.send(step, payload.clone())?;
            link.recv(step, len)?;
        }
        let pong = start.elapsed() / rounds;
        // Both sides send at once: a flight of the protocol.
        let mut times = Vec::new();
        for step in 0..rounds {
            let start = Instant::now();
            link.send(step, payload.clone())?;
            link.recv(step, len)?;
            times.push(start.elapsed());
        }
        times.sort();
        let mean = times.iter().sum::<Duration>() / rounds;
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("{len:>9} {pong:>14.1?} {mean:>14.1?} {p50:>10.1?} {p99:>10.1?}");
    }
    let bulks: Vec<_> = (0..BULKS).map(|_| vec![7; BULK]).collect();
    let start = Instant::now();
    for (step, bulk) in (0..).zip(bulks) {
        link.send(step, bulk)?;
    }
    link.recv(BULKS, 0)?;
    let seconds = start.elapsed().as_secs_f64();
    let total = BULK as f64 * f64::from(BULKS);
    println!("bulk {:.2} GB/s ({:.0} MB)", total / seconds / 1e9, total / 1e6);
    let traffic = link.traffic();
    println!(
        "wire overhead sent {:.2} %",
        100.0 * (traffic.wire_sent as f64 / traffic.bytes_sent as f64 - 1.0)
    );
    link.finish()?;
    child.wait()?;
    Ok(())
}
