//! Many inferences by several clients while parties are killed, stopped and cut off at random: every answer is right, every batch is
//! used once, memory does not grow.

mod disks;
mod parties;
mod tally;

use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde::Serialize;
use sotto::{choices, config::Source};
use sotto_crypto::Seed;

use crate::error::Error;
use parties::Parties;
use tally::Tally;

/// Most pictures that a client process is given.
const AT_ONCE: u64 = 8;

/// What the soak is told.
#[derive(Args)]
pub struct Soak {
    /// Pictures that are to be classified.
    #[arg(long, default_value_t = 10_000)]
    inferences: usize,
    /// Clients at a time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// What happens to whom follows from it, but for the time that it takes.
    #[arg(long)]
    seed: Option<u64>,
    /// Where correlations come from.
    #[arg(long, value_parser = choices::source(), default_value = "dealer")]
    source: Source,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Serialize)]
pub struct Report {
    seed: u64,
    seconds: f64,
    /// Pictures that were classified.
    done: usize,
    /// The largest difference of a private logit and the plain one.
    largest_error: f64,
    /// What happened to parties, by kind.
    kills: usize,
    stops: usize,
    cuts: usize,
    /// How often a party's pool on its disk was restored from an older copy.
    restores: usize,
    /// Batches that servers used, and those among them that had waited on disks.
    batches: usize,
    waited: usize,
    /// Largest resident memory of each service, in MiB.
    server_mib: u64,
    dealer_mib: u64,
    /// What is not as it must be.
    wrong: Vec<String>,
}

/// What all threads share.
struct Shared<'a> {
    parties: &'a Parties,
    tally: Tally,
    /// Pictures that are still to be classified.
    left: Mutex<usize>,
    over: AtomicBool,
    client_kills: AtomicUsize,
}

/// Numbers that follow from the seed.
struct Chance(sotto_crypto::Stream);

impl Chance {
    fn new(seed: u64, of: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(Seed::from_bytes(bytes).stream(of))
    }

    /// One of 0 to `below` - 1.
    fn below(&mut self, below: u64) -> u64 {
        (self.0.unit() * below as f64) as u64
    }
}

impl Soak {
    /// Runs it and prints what came of it; gives whether all is as it must be.
    ///
    /// # Errors
    /// [`Error::Scene`] when a party does not start.
    pub fn run(&self, program: &Path) -> Result<bool, Error> {
        let seed = match self.seed {
            Some(seed) => seed,
            None => {
                u64::from(std::process::id()) << 32
                    | u64::from(Instant::now().elapsed().subsec_nanos())
            }
        };
        eprintln!("seed {seed}");
        let report = self.soak(program, seed)?;
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report).map_err(Error::scene)?),
            false => print(&report),
        }
        Ok(report.wrong.is_empty())
    }

    fn soak(&self, program: &Path, seed: u64) -> Result<Report, Error> {
        let start = Instant::now();
        let parties = Parties::start(program, self.clients, self.source)?;
        let shared = Shared {
            parties: &parties,
            tally: Tally::default(),
            left: Mutex::new(self.inferences),
            over: AtomicBool::new(false),
            client_kills: AtomicUsize::new(0),
        };
        let (mut kills, mut stops, mut cuts) = (0, 0, 0);
        thread::scope(|scope| {
            let shared = &shared;
            let clients: Vec<_> = (0..self.clients)
                .map(|i| scope.spawn(move || client(shared, i, Chance::new(seed, 1 + i as u64))))
                .collect();
            let mut chance = Chance::new(seed, 0);
            let mut told = Instant::now();
            while clients.iter().any(|client| !client.is_finished()) {
                let pause = Duration::from_millis(1500 + chance.below(4000));
                let until = Instant::now() + pause;
                while Instant::now() < until && clients.iter().any(|c| !c.is_finished()) {
                    thread::sleep(Duration::from_millis(100));
                    parties.watch();
                }
                if told.elapsed() > Duration::from_secs(10) {
                    eprintln!("{} of {} done", shared.tally.done(), self.inferences);
                    told = Instant::now();
                }
                // The last fifth goes undisturbed: whether memory grows is seen in a long life.
                if 5 * shared.tally.done() >= 4 * self.inferences {
                    continue;
                }
                // One party of the two or three; what happens to it; how long it is away.
                let (who, how) =
                    (chance.below(parties.services() as u64) as usize, chance.below(3));
                let away = Duration::from_millis(chance.below(3000));
                let result = match how {
                    0 => parties.kill(who, away).map(|()| kills += 1),
                    1 => parties.stop(who, away).map(|()| stops += 1),
                    _ => parties.cut(who, away).map(|()| cuts += 1),
                };
                if let Err(e) = result {
                    shared.tally.wrong(format!("a party did not come back: {e}"));
                    shared.over.store(true, Ordering::Relaxed);
                    break;
                }
            }
        });
        let tally = shared.tally;
        let [batches, waited] = tally.single_use(&parties.logs());
        let [server_mib, dealer_mib] = parties.largest();
        parties.grown().into_iter().for_each(|why| tally.wrong(why));
        let kills = kills + shared.client_kills.into_inner();
        let (done, largest_error, wrong) = tally.end();
        let seconds = start.elapsed().as_secs_f64();
        Ok(Report {
            seed,
            seconds,
            done,
            largest_error,
            kills,
            stops,
            cuts,
            restores: parties.restored(),
            batches,
            waited,
            server_mib,
            dealer_mib,
            wrong,
        })
    }
}

/// Classifies pictures, a process after the other, until none are left.
fn client(shared: &Shared<'_>, number: usize, mut chance: Chance) {
    while !shared.over.load(Ordering::Relaxed) {
        let wanted = {
            let mut left = shared.left.lock().unwrap_or_else(|e| e.into_inner());
            let wanted = (1 + chance.below(AT_ONCE) as usize).min(*left);
            *left -= wanted;
            wanted
        };
        if wanted == 0 {
            return;
        }
        let pictures: Vec<usize> =
            (0..wanted).map(|_| chance.below(parties::PICTURES as u64) as usize).collect();
        // One in twelve is killed before it is done.
        let killed = (chance.below(12) == 0).then(|| Duration::from_millis(chance.below(1500)));
        shared.client_kills.fetch_add(usize::from(killed.is_some()), Ordering::Relaxed);
        // One in four fills its pool on the disk after that, where there is one.
        let fill = chance.below(4) == 0;
        let done = match shared.parties.infer(number, (&pictures, fill), killed) {
            Ok(done) => done,
            Err(e) => {
                shared.tally.wrong(format!("client {number}: {e}"));
                return;
            }
        };
        let answered = shared.tally.check(&pictures, &done, shared.parties.plain());
        // What was not answered is asked again.
        *shared.left.lock().unwrap_or_else(|e| e.into_inner()) += wanted - answered;
    }
}

fn print(report: &Report) {
    let Report { seed, seconds, done, largest_error, kills, stops, cuts, batches, .. } = report;
    println!(
        "seed {seed}: {done} pictures in {seconds:.0} s, largest logit error {largest_error:.1e}"
    );
    println!("{kills} kills, {stops} stops, {cuts} cuts; {batches} batches, each used once");
    println!("{} waited on disks, {} restores of a party's pool", report.waited, report.restores);
    println!("largest memory: server {} MiB, dealer {} MiB", report.server_mib, report.dealer_mib);
    for why in &report.wrong {
        println!("WRONG: {why}");
    }
}
