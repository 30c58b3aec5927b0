//! Batches made by both parties in one thread, with a clock on every piece: whoever computes has a core for itself. The clock is the
//! thread's own where the system has one, so that others' work on this machine counts little.

use std::collections::BTreeMap;

use sotto_crypto::Seed;
use sotto_protocols::{
    Role,
    make::{
        Extension, Keys, MakeTurn, Maker, Matrices, Piece, Recipe, Setup, Transfers,
        encrypt_weights, whole_recipe,
    },
    observer::Observer,
    plan::Plan,
    weights::Matrix,
};

use crate::fit::Sample;

/// Batches of a model: the faster one counts, piece by piece.
const RUNS: usize = 2;

/// Kinds of work with ciphertexts.
const ENCRYPTED: [&str; 4] = ["answer products", "answer rows", "layer", "upload"];

/// Samples of each kind of work.
pub(super) type Samples = BTreeMap<&'static str, Vec<Sample>>;

/// Seconds of this thread on a core.
#[cfg(unix)]
fn now() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 + 1e-9 * t.tv_nsec as f64
}

#[cfg(not(unix))]
fn now() -> f64 {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed().as_secs_f64()
}

/// A stopwatch.
struct Clock(f64);

impl Clock {
    fn start() -> Self {
        Self(now())
    }

    fn lap(&mut self) -> f64 {
        let now = now();
        now - std::mem::replace(&mut self.0, now)
    }
}

/// A stopwatch on one party.
struct Laps {
    clock: Clock,
    pieces: Vec<(Piece, f64)>,
}

impl Observer for Laps {
    fn goes_on(&mut self) {
        self.clock.lap();
    }

    fn made(&mut self, piece: Piece) {
        let lap = self.clock.lap();
        self.pieces.push((piece, lap));
    }
}

/// Makes some batches of a plan and adds what each piece took, the least of all of them: others' load only adds.
/// Random weights: nothing here is secret.
pub(super) fn measure(
    extension: Extension,
    plan: &Plan,
    matrices: &[Matrix],
    samples: &mut Samples,
) {
    // Row tables need a dealer.
    let Ok(recipe) = whole_recipe(plan, extension) else { return };
    let seed = Seed::from_bytes([5; 32]);
    let roles = [Role::Server, Role::Client];
    let (mut transfers, keys) = setup(&recipe, matrices, &seed, samples);
    let mut least: [Vec<(Piece, f64)>; 2] = Default::default();
    for run in 0..RUNS {
        let laps = make(&recipe, &seed.derive("batch", run as u64), (&mut transfers, &keys));
        for (least, laps) in least.iter_mut().zip(laps) {
            match least.is_empty() {
                true => *least = laps,
                false => least.iter_mut().zip(laps).for_each(|(l, lap)| l.1 = l.1.min(lap.1)),
            }
        }
    }
    for (role, laps) in roles.into_iter().zip(least) {
        for (piece, seconds) in laps {
            let Some((kind, [work, elements, bytes])) = recipe.effort(role, piece) else {
                continue;
            };
            // Encryption has its nominal work alone: too few sizes are met to tell a call's own seconds.
            let call = if ENCRYPTED.contains(&kind) { 0.0 } else { 1.0 };
            samples.entry(kind).or_default().push(([call, work, elements, bytes], seconds));
        }
    }
}

/// Transfers and keys of server and client, and what they took: of the setup, of each byte encrypted and read.
fn setup(
    recipe: &Recipe,
    matrices: &[Matrix],
    seed: &Seed,
    samples: &mut Samples,
) -> ([Transfers; 2], [Matrices; 2]) {
    let own = "the messages are each other's";
    let roles = [Role::Server, Role::Client];
    let mut clock = Clock::start();
    let begin =
        |role: Role| Setup::new(role, [1; 32], recipe.extension, &seed.derive(role.name(), 0));
    let [(server, to_client), (client, to_server)] = roles.map(begin);
    let [server, client] =
        [server.answer(&to_server).expect(own), client.answer(&to_client).expect(own)];
    let transfers =
        [server.0.finish(&client.1).expect(own), client.0.finish(&server.1).expect(own)];
    let new = |role: Role| Keys::new(role, &seed.derive(role.name(), 1));
    let [(server, to_client), (client, to_server)] = roles.map(new);
    let (server, client) =
        (server.meet(&to_server).expect(own), client.meet(&to_client).expect(own));
    let fixed = clock.lap();
    let noise = seed.derive("weights", 0);
    let weights: Vec<u8> =
        encrypt_weights(recipe, server.key(), &noise, matrices).flatten().collect();
    let (encrypted, bytes) = (clock.lap(), weights.len() as f64);
    let server = server.finish(recipe, Vec::new()).expect(own);
    let both = fixed + 2.0 * clock.lap();
    let client = client.finish(recipe, weights).expect(own);
    let read = clock.lap();
    for (kind, call, bytes, seconds) in [
        (recipe.setup_kind(), 1.0, 0.0, both / 2.0),
        ("encrypt", 0.0, bytes, encrypted),
        ("read", 0.0, bytes, read),
    ] {
        samples.entry(kind).or_default().push(([call, 0.0, 0.0, bytes], seconds));
    }
    (transfers, [server, client])
}

/// One batch: what each piece took at server and client.
fn make(
    recipe: &Recipe,
    seed: &Seed,
    (transfers, keys): (&mut [Transfers; 2], &[Matrices; 2]),
) -> [Vec<(Piece, f64)>; 2] {
    let mut laps = [0, 1].map(|_| Laps { clock: Clock::start(), pieces: Vec::new() });
    {
        let [server, client] = transfers;
        let [at_server, at_client] = &mut laps;
        let maker = |role: Role, transfers| {
            Maker::new(recipe, role, &seed.derive(role.name(), 0), transfers)
                .with_matrices(&keys[role.index()])
        };
        let mut server = maker(Role::Server, server).observed(at_server);
        let mut client = maker(Role::Client, client).observed(at_client);
        let own = "they are each other's";
        while let (
            MakeTurn::Exchange { send: to_client, .. },
            MakeTurn::Exchange { send: to_server, .. },
        ) = (server.turn(), client.turn())
        {
            for (maker, message) in [(&mut server, to_server), (&mut client, to_client)] {
                if !message.is_empty() {
                    maker.receive(&message).expect(own);
                }
            }
        }
    }
    laps.map(|l| l.pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_that_is_planned_is_measured_in_its_order() {
        let model = super::super::models::small();
        let private = model.private();
        let weights = sotto_models::Weights::random(&model.arch, 7);
        let recipe = whole_recipe(&private.plan, Extension::Ferret).expect("no row tables");
        let seed = Seed::from_bytes([6; 32]);
        let (mut transfers, keys) =
            setup(&recipe, &private.matrices(&weights), &seed, &mut Samples::new());
        let laps = make(&recipe, &seed, (&mut transfers, &keys));
        for (role, laps) in [Role::Server, Role::Client].into_iter().zip(laps) {
            let planned = (0..recipe.depth()).flat_map(|level| recipe.pieces(level, role));
            let planned: Vec<Piece> = planned.flatten().collect();
            let measured: Vec<Piece> = laps.iter().map(|(piece, _)| *piece).collect();
            assert!(measured == planned, "{}", role.name());
        }
    }
}
