//! temp
use std::{env, error::Error, net::SocketAddr, sync::{Arc, Barrier}, thread, time::{Duration, Instant}};

use sotto_crypto::Seed;
use sotto_models::{Arch, Calibration, Private, Weights, private::Options};
use sotto_net::{Endpoint, Identity, Link, Profile, QuicLink};
use sotto_netsim::{
    LOCAL_ROUND_TRIP, Network,
    emulate::{Emulator, LinkPlan},
};
use sotto_protocols::{
    Role,
    make::{Extension, Keys, MakeTurn, Maker, Recipe, Setup, Transfers, Matrices, encrypt_weights, whole_recipe},
};
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn cpu() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 + 1e-9 * t.tv_nsec as f64
}
const DEADLINE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let name = env::args().nth(1).unwrap_or("wan".into());
    let runs: usize = env::args().nth(2).map_or(2, |n| n.parse().unwrap());
    let network = Network::preset(&name)?;
    let arch = Arch::vit_cifar();
    let weights = Weights::random(&arch, 7);
    let pixels = arch.channels * arch.image * arch.image;
    let mut stream = Seed::from_bytes([1; 32]).stream(0);
    let image: Vec<f32> = (0..pixels).map(|_| (0..12).map(|_| stream.unit()).sum::<f64>() as f32 - 6.0).collect();
    let calibration = Calibration::record(&arch, &weights, &[image], |_| ());
    let private = Private::new(&arch, &calibration, 1, Options::default())?;
    let recipe = Arc::new(whole_recipe(&private.plan, Extension::Ferret)?);
    let matrices = private.matrices(&weights);
    // setup
    let seed = Seed::from_bytes([5; 32]);
    let roles = [Role::Server, Role::Client];
    let begin = |role: Role| Setup::new(role, [1; 32], recipe.extension, &seed.derive(role.name(), 0));
    let [(server, to_client), (client, to_server)] = roles.map(begin);
    let [server, client] = [server.answer(&to_server)?, client.answer(&to_client)?];
    let transfers = [server.0.finish(&client.1)?, client.0.finish(&server.1)?];
    let new = |role: Role| Keys::new(role, &seed.derive(role.name(), 1));
    let [(server, to_client), (client, to_server)] = roles.map(new);
    let (server, client) = (server.meet(&to_server)?, client.meet(&to_client)?);
    let w: Vec<u8> = encrypt_weights(&recipe, server.key(), &seed.derive("w", 0), &matrices).flatten().collect();
    let keys = [server.finish(&recipe, Vec::new())?, client.finish(&recipe, w)?];

    let path = &network.client_server;
    let profile = match 2.0 * path.up.delay {
        _ if name == "loopback" => Profile::loopback(),
        round_trip if round_trip > LOCAL_ROUND_TRIP => Profile::wan(),
        _ => Profile::lan(),
    };
    let (sid, cid) = (Identity::generate("server")?, Identity::generate("client")?);
    let local: SocketAddr = "127.0.0.1:0".parse()?;
    let bind = |us: &Identity, peer: &Identity| {
        let peers = [(peer.name().to_owned(), peer.certificate().clone())];
        Endpoint::bind(local, us, &peers, &peers, profile.clone())
    };
    let (sep, cep) = (bind(&sid, &cid)?, bind(&cid, &sid)?);
    let mut emulator = Emulator::start(1)?;
    let link = emulator.add(&LinkPlan { listen: local, target: sep.local_addr(), path: path.clone() })?;
    let direct = name == "loopback";
    let target = if direct { sep.local_addr() } else { link.address() };
    let [st, ct] = transfers;
    let [sk, ck] = keys;
    let (r2, seed2) = (Arc::clone(&recipe), seed.clone());
    let bar = Arc::new(Barrier::new(2));
    let bar2 = Arc::clone(&bar);
    let there = thread::spawn(move || {
        let mut link = sep.accept(DEADLINE).unwrap();
        link.set_deadline(DEADLINE);
        let mut st = st;
        let all = run(&mut link, &r2, Role::Server, &seed2, &mut st, &sk, runs, &bar2);
        link.finish().unwrap();
        all
    });
    let mut own = cep.connect(target, "server", DEADLINE)?;
    own.set_deadline(DEADLINE);
    let mut ct = ct;
    let all = run(&mut own, &recipe, Role::Client, &seed, &mut ct, &ck, runs, &bar);
    own.finish()?;
    let theirs = there.join().unwrap();
    let s = link.statistics();
    println!("up {:?}\ndown {:?}", s.up, s.down);
    let r = runs - 1;
    println!("lvl  srv->cl    cl->srv |  srv: work cpu xchg recv cpu | cl: ...");
    let mut prev = [0.0; 2];
    for (a, b) in theirs[r].iter().zip(&all[r]) {
        println!(
            "{:3} {:9} {:9} | {:6.3} {:6.3} x{:6.3} {:6.3} | {:6.3} {:6.3} x{:6.3} {:6.3}",
            a.0, a.6, b.6, a.1, a.2, a.3, a.4, b.1, b.2, b.3, b.4
        );
        prev = [a.5, b.5];
    }
    println!("end {prev:?}");
    Ok(())
}

type Row = (u32, f64, f64, f64, f64, f64, usize);
#[allow(clippy::too_many_arguments)]
fn run(link: &mut QuicLink, recipe: &Recipe, role: Role, seed: &Seed, t: &mut Transfers, k: &Matrices, runs: usize, bar: &Barrier) -> Vec<Vec<Row>> {
    let mut all = Vec::new();
    for i in 0..runs {
        bar.wait();
        let start = Instant::now();
        let mut rows = Vec::new();
        let seed = seed.derive(role.name(), 10 + i as u64);
        let mut maker = Maker::new(recipe, role, &seed, t).with_matrices(k);
        loop {
            let (w0, c0) = (Instant::now(), cpu());
            let turn = maker.turn();
            let (work, wcpu) = (w0.elapsed().as_secs_f64(), cpu() - c0);
            match turn {
                MakeTurn::Exchange { level, send, expect } => {
                    let x0 = Instant::now();
                    let bytes = send.len();
                    let got = link.exchange(level, send, expect, &mut || ()).unwrap();
                    let x = x0.elapsed().as_secs_f64();
                    let r0 = Instant::now();
                    if let Some(m) = got { maker.receive(&m).unwrap(); }
                    rows.push((level, work, wcpu, x, r0.elapsed().as_secs_f64(), start.elapsed().as_secs_f64(), bytes));
                }
                MakeTurn::Done(_) => { rows.push((999, work, wcpu, 0.0, 0.0, start.elapsed().as_secs_f64(), 0)); break; }
            }
        }
        all.push(rows);
    }
    all
}
