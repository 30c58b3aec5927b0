//! Single use of randomness, counted instead of estimated: which streams dealer, server and client open over many batches.
//!
//! A stream (a seed and a number) gives the words of one draw. A party that opens one twice uses a mask twice; two
//! batches that open one share all of their masks. Statistics see neither.

use std::collections::HashMap;
use std::convert::Infallible;

use sotto_crypto::{
    Seed,
    record::{Opened, streams},
};
use sotto_protocols::{
    Role,
    batch::Batch,
    deal::{Seeds, deal},
    party::{Evaluation, Party, lockstep},
    plan::Plan,
    seeds::{Chain, setup_seed},
    weights::{Matrix, SetupMasks, Weights, read_setup, setup_message},
};

use crate::{gate_plans, zoo};

/// What was opened by the dealer, and by both parties, whose seeds differ.
type Record = [Vec<Opened>; 2];

/// Deals one batch from `seeds` and uses it at both parties.
fn batch(
    plan: &Plan,
    weights: &[Weights; 2],
    masks: &SetupMasks,
    seeds: &Seeds,
    record: &mut Record,
) {
    let mut corrections = Vec::new();
    let emit = |bytes: Vec<u8>| {
        corrections.extend(bytes);
        Ok::<(), Infallible>(())
    };
    let (Ok(()), opened) = streams(|| deal(plan, seeds, masks, emit));
    record[0].extend(opened);
    let zeros: Vec<Vec<i64>> =
        plan.inputs.iter().map(|w| vec![0; plan.wires[w.index()].count()]).collect();
    let batches = Batch::pair(0, seeds, corrections);
    let (evaluated, opened) = streams(|| {
        let begin = |role: Role, batch: Batch| {
            let weights = &weights[role.index()];
            let staged = batch.stage(plan, role, weights)?;
            Evaluation::new(&Party { role, plan, weights }, staged, &zeros)
        };
        let [server, client] = batches;
        lockstep([begin(Role::Server, server)?, begin(Role::Client, client)?])
    });
    assert!(evaluated.is_ok(), "the plan's own batch");
    record[1].extend(opened);
}

/// Sets a server's model up, at dealer and server, and gives what both parties then hold.
fn setup(
    plan: &Plan,
    matrices: &[Matrix],
    seed: &Seed,
    record: &mut Record,
) -> ([Weights; 2], SetupMasks) {
    let (masks, opened) = streams(|| SetupMasks::expand(plan, seed));
    record[0].extend(&opened);
    record[1].extend(opened);
    let message = setup_message(plan, matrices, &masks);
    let masked = read_setup(plan, message, "server").expect("the plan's own setup");
    ([Weights::Plain(matrices.to_vec()), masked], masks)
}

/// The streams that somebody opened more than once.
fn repeated(opened: &[Opened]) -> usize {
    let mut times: HashMap<&Opened, usize> = HashMap::new();
    opened.iter().for_each(|stream| *times.entry(stream).or_default() += 1);
    times.values().filter(|&&n| n > 1).count()
}

/// A dealer's chains, one for each server, as long as it lives.
struct Dealer {
    master: Seed,
    corrected: Role,
    chains: [(&'static str, Chain); 2],
}

impl Dealer {
    fn new(master: u8, corrected: Role) -> Self {
        let master = Seed::from_bytes([master; 32]);
        let chains = ["a", "a b"].map(|server| (server, Chain::new(&master, server)));
        Self { master, corrected, chains }
    }
}

/// Many batches of one plan: servers, weights and plan hashes that begin alike, each.
fn many(dealers: &mut [Dealer], plan: &Plan, matrices: &[Matrix], record: &mut Record) {
    let hash = plan.hash();
    let other: [u8; 32] = std::array::from_fn(|i| hash[i] ^ u8::from(i >= 8));
    for Dealer { master, corrected, chains } in dealers {
        for (server, chain) in chains {
            for (weights, plan_hash) in [("w", &hash), ("b w", &hash), ("w", &other)] {
                let seed = setup_seed(master, server, weights.as_bytes(), plan_hash);
                let (weights, masks) = setup(plan, matrices, &seed, record);
                for _ in 0..6 {
                    let seeds = Seeds { party: chain.step().party, corrected: *corrected };
                    batch(plan, &weights, &masks, &seeds, record);
                }
            }
        }
    }
}

#[test]
fn no_stream_is_opened_twice_by_anyone() {
    let mut record = Record::default();
    let mut dealers = [Dealer::new(1, Role::Server), Dealer::new(2, Role::Client)];
    let cases = gate_plans::all();
    for case in &cases {
        many(&mut dealers, &case.plan, &case.secrets[0].matrices, &mut record);
    }
    let (arch, size, options) = zoo::every_kind().swap_remove(5);
    let model = zoo::specimen(arch, size, options, 5);
    many(&mut dealers, &model.private.plan, &model.private.matrices(&model.weights), &mut record);
    for (who, opened) in ["dealer", "parties"].iter().zip(&record) {
        assert!(opened.len() > 1000, "{who} opened {} streams only", opened.len());
        assert_eq!(repeated(opened), 0, "of {} streams of the {who}", opened.len());
    }
    // The dealer opens what the parties open, and nothing else.
    let [dealer, parties] = &record;
    let mut opened: Vec<_> = parties.iter().collect();
    opened.sort_unstable();
    let mut dealt: Vec<_> = dealer.iter().collect();
    dealt.sort_unstable();
    assert!(dealt == opened, "{} at the dealer, {} at the parties", dealt.len(), opened.len());
}

/// The control: a dealer that gives the seeds of one number for two batches, a total two-time pad.
#[test]
fn a_batch_dealt_twice_is_seen() {
    let case = gate_plans::open();
    let mut record = Record::default();
    let (weights, masks) = setup(&case.plan, &[], &Seed::from_bytes([1; 32]), &mut record);
    for _ in 0..2 {
        let party = Chain::new(&Seed::from_bytes([2; 32]), "s").step().party;
        let seeds = Seeds { party, corrected: Role::Client };
        batch(&case.plan, &weights, &masks, &seeds, &mut record);
    }
    assert!(record.iter().all(|opened| repeated(opened) == opened.len() / 2));
}
