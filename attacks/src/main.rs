//! `sotto-attacks`: attacks on the stock `sotto` processes, with pinned keys in the attacker's hands.
//!
//! Each attack once broke through, or is one that semi-honest protocols allow and a bound must hold; it starts honest
//! processes on loopback, deviates, and says what it got. All are bounded in count and time. The exit code is 1 when one
//! breaks through, 2 when one could not be tried.

mod cheats;
mod copies;
mod dealer;
mod error;
mod extract;
mod floods;
mod makers;
mod memory;
mod peer;
mod plans;
mod process;
// The attacked program is found and built as the benchmark's is.
#[path = "../../benches/src/program.rs"]
mod program;
mod raw;
mod report;
mod roles;
mod scene;
mod servers;
mod soak;
mod strangers;

use std::{process::ExitCode, time::Instant};

use cheats::Cheat;
use clap::{Parser, Subcommand};
use error::Error;
use report::{Found, Line, Verdict};
use scene::Scene;
use soak::Soak;

/// Attacks the stock `sotto` processes on this machine and says what holds.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// A tiny model and fewer queries: for continuous integration.
    #[arg(long)]
    quick: bool,
    /// One JSON object a line instead of text.
    #[arg(long)]
    json: bool,
    /// Only attacks whose number or name contains this.
    #[arg(long)]
    only: Option<String>,
    #[command(subcommand)]
    instead: Option<Instead>,
}

/// What is done instead of the attacks.
#[derive(Subcommand)]
enum Instead {
    /// Classifies pictures by several clients while parties are killed, stopped and cut off at random: every answer must be
    /// right, every batch used once, and memory must not grow.
    Soak(Soak),
}

/// An attack: the audit's number, its name, and how it is done (in the quick form or not).
type Attack = (&'static str, &'static str, fn(&Scene, bool) -> Result<Found, Error>);

const ATTACKS: [Attack; 25] = [
    ("C1", "dealer as a client", |scene, _| roles::rogue_dealer(scene)),
    ("H1", "restored pool", |scene, _| copies::restored(scene)),
    ("H1", "replica of a pool", |scene, _| copies::replica(scene)),
    ("H2", "plans with one prefix", |scene, _| plans::one_prefix(scene)),
    ("H3", "altered words", |scene, quick| {
        extract::without_quota(scene, if quick { 16 } else { 48 })
    }),
    ("H3", "altered words, quota", |scene, _| extract::with_quota(scene, 8)),
    ("H4", "idle links", |scene, _| floods::links(scene)),
    ("H5", "unused requests", |scene, _| floods::requests(scene)),
    ("M1", "fins", |scene, quick| floods::fins(scene, if quick { 1 << 18 } else { 1 << 22 })),
    ("M2", "mixed and damaged", |scene, _| copies::mixed(scene)),
    ("M6", "dial-back", |scene, _| roles::dial_back(scene)),
    ("M7", "half handshakes", |scene, _| strangers::handshakes(scene)),
    ("M8", "hostile cards", |scene, _| plans::hostile_cards_end_nobody(scene)),
    ("M9", "one key, two names", |scene, _| roles::two_names(scene)),
    ("A1", "memory of the dealer", |scene, quick| {
        memory::dealer(scene, if quick { 20 } else { 40 })
    }),
    ("A1", "memory of the server", |scene, _| memory::server(scene, 8)),
    ("A3", "dealer that was caught", |scene, _| cheats::caught(scene, Cheat::Lies)),
    ("A3", "dealer with old numbers", |scene, _| cheats::caught(scene, Cheat::Restored)),
    ("A4", "dealer that is not seen", |scene, _| cheats::caught(scene, Cheat::Hidden)),
    ("A5", "answers that nobody reads", |scene, _| floods::unread(scene)),
    ("A7", "assigned and assigned", |scene, _| servers::assigns(scene)),
    ("P1", "servers that make", makers::servers),
    ("P2", "links again and again", |scene, quick| {
        floods::again(scene, if quick { 200 } else { 1000 })
    }),
    ("C5", "another card", |scene, _| servers::changed_card(scene)),
    ("L1", "control characters", |scene, _| plans::control_characters(scene)),
];

fn main() -> ExitCode {
    let options = Options::parse();
    let program = match program::find() {
        Ok(program) => program,
        Err(e) => {
            eprintln!("error: {e}");
            return ExitCode::from(2);
        }
    };
    if let Some(Instead::Soak(soak)) = &options.instead {
        return match soak.run(&program) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(e) => {
                eprintln!("error: {e}");
                ExitCode::from(2)
            }
        };
    }
    let wanted = |(number, name, _): &&Attack| {
        let only = options.only.as_ref();
        only.is_none_or(|only| number.contains(&**only) || name.contains(&**only))
    };
    let (mut broken, mut failed) = (0, 0);
    for (attack, name, run) in ATTACKS.iter().filter(wanted) {
        let start = Instant::now();
        let found =
            Scene::new(&program, options.quick).and_then(|scene| run(&scene, options.quick));
        let Found { tried, got, verdict } = found.unwrap_or_else(|e| Found {
            tried: "nothing".into(),
            got: e.to_string(),
            verdict: Verdict::Failed,
        });
        broken += usize::from(verdict == Verdict::Broken);
        failed += usize::from(verdict == Verdict::Failed);
        let line =
            Line { attack, name, tried, got, verdict, seconds: start.elapsed().as_secs_f64() };
        match options.json {
            true => println!("{}", serde_json::json!(line)),
            false => println!("{}", line.text()),
        }
    }
    match (broken, failed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
