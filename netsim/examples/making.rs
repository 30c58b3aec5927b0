//! Whether the flights of a batch that two parties make take as long as they are predicted to.
//!
//! `cargo run --release -p sotto-netsim --example making [--quick] [NETWORK ...]`
//!
//! Two ends of an emulated network send each other the messages of MPCViT's CIFAR model's recipe, level by level, and sleep for as long as
//! the reference profile says that the work takes: what a machine's load does to the work is left out, what is left is the walk
//! and the wire. `--quick` has a small model.

mod ends;

use std::{
    env,
    error::Error,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ends::Ends;
use sotto_crypto::Seed;
use sotto_models::{Arch, Calibration, Private, Weights, private::Options};
use sotto_net::{Link, QuicLink};
use sotto_netsim::{LevelTimes, Machine, Machines, Making, Network};
use sotto_protocols::{
    Role,
    make::{Extension, whole_recipe},
};

const DEADLINE: Duration = Duration::from_secs(60);
/// The request that the client begins with.
const REQUEST: u32 = u32::MAX;

fn main() -> Result<(), Box<dyn Error>> {
    let (options, mut names): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|a| a.starts_with("--"));
    let quick = options.iter().any(|a| a == "--quick");
    if names.is_empty() {
        names = ["lan", "wan"].map(String::from).to_vec();
    }
    let arch = if quick { Arch::vit(1, 2, 16, 32, 8, 4, 4) } else { Arch::vit_cifar() };
    let mut stream = Seed::from_bytes([1; 32]).stream(0);
    let pixels = arch.channels * arch.image * arch.image;
    let image: Vec<f32> =
        (0..pixels).map(|_| (0..12).map(|_| stream.unit()).sum::<f64>() as f32 - 6.0).collect();
    let weights = Weights::random(&arch, 7);
    let calibration = Calibration::record(&arch, &weights, &[image], |_| ());
    let plan = Private::new(&arch, &calibration, 1, Options::default())?.plan;
    let recipe = whole_recipe(&plan, Extension::Ferret)?;
    // Not those of one machine: asleep, parties leave it to what carries the bytes.
    let machines = Machines::alike(&Machine::reference());
    let making = Arc::new(Making::new(&plan, &recipe, &machines)?);
    println!("network  level  bytes to client, to server  predicted  measured s");
    for name in names {
        let network = Network::preset(&name)?;
        measure(&network, &making, &making.times(&machines, &network))?;
    }
    Ok(())
}

fn measure(
    network: &Network,
    making: &Arc<Making>,
    due: &[LevelTimes],
) -> Result<(), Box<dyn Error>> {
    let Ends { server, client, link, between: _between } = Ends::new(network)?;
    let theirs = Arc::clone(making);
    let there = thread::spawn(move || -> Result<(), sotto_net::Error> {
        let mut link = server.accept(DEADLINE)?;
        link.set_deadline(DEADLINE);
        link.recv(REQUEST, 16)?;
        replay(&mut link, theirs.levels(), Role::Server, Instant::now())?;
        link.finish()
    });
    let mut own = client.connect(link.address(), "server", DEADLINE)?;
    own.set_deadline(DEADLINE);
    let start = Instant::now();
    own.send(REQUEST, vec![0; 16])?;
    let ends = replay(&mut own, making.levels(), Role::Client, start)?;
    own.finish()?;
    there.join().map_err(|_| "the other side failed")??;
    for (i, (((_, [down, up]), due), end)) in making.levels().iter().zip(due).zip(&ends).enumerate()
    {
        let due = due.arrival[1].map_or(due.ready[1], |at| at.max(due.ready[1]));
        println!("{:8} {i:6} {down:16} {up:10} {due:10.3} {end:9.3}", network.name);
    }
    Ok(())
}

/// Sends and waits as a maker does, and sleeps in the place of its work; gives when each level ended.
fn replay(
    link: &mut QuicLink,
    levels: &[([f64; 2], [u64; 2])],
    role: Role,
    start: Instant,
) -> Result<Vec<f64>, sotto_net::Error> {
    let (own, peer) = (role.index(), role.peer().index());
    let each = |(step, (seconds, bytes)): (u32, &([f64; 2], [u64; 2]))| {
        let send = vec![7; bytes[own] as usize];
        thread::sleep(Duration::from_secs_f64(seconds[own]));
        link.exchange(step, send, bytes[peer] as usize, &mut || ())?;
        Ok(start.elapsed().as_secs_f64())
    };
    (0..).zip(levels).map(each).collect()
}
