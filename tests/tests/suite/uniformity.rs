//! Transcript uniformity: every masked word is uniform over exactly the opened width, whatever the secrets.
//!
//! For each exchange of each gate three samples are judged over many evaluations with fresh seeds and fixed
//! secrets: what the server sends, what the client sends, and what the receiver has when it adds its own
//! part (the opened word). The last is what a missing mask shows in where shares are random already. A
//! word revealed to the client has no mask: it must be the output less the client's share, no bit more.

use sotto_crypto::Seed;
use sotto_protocols::{
    Role, Wire,
    gate::{Draw, Exchange, To},
    party::Value,
    plan::Plan,
    testing::Record,
};
use sotto_ring::{mask, pack};

use crate::{
    broken::{self, Fault},
    gate_plans::{self, Case, Secrets},
    statistics::{LIMIT, MOST, Sample, Score, worst},
    wiretap::{Transcript, transcript},
    zoo,
};

/// Samples by what they are of.
type Samples = Vec<(String, Sample)>;

/// The exchanges that `from` sends in `level`.
fn sent_by(plan: &Plan, level: usize, from: Role) -> Vec<Exchange> {
    plan.exchanges(level).map(|(_, e)| e).filter(|e| e.to.sends(from)).collect()
}

/// Unpacks a party's messages, one list of words for each exchange in the order of the plan, `None` for what
/// the other party sends. Holds steps and lengths against the plan, and padding to be zero.
fn unpacked(plan: &Plan, sent: &[(u32, Vec<u8>)], from: Role) -> Vec<Option<Vec<u64>>> {
    let mut messages = sent.iter();
    let mut all = Vec::new();
    for level in 0..plan.levels.len() {
        let due = sent_by(plan, level, from);
        let mut rest: &[u8] = &[];
        if !due.is_empty() {
            let (step, payload) = messages.next().expect("a message for each level with exchanges");
            assert_eq!(*step, level as u32, "steps are levels");
            let length: usize = due.iter().map(|e| pack::packed_len(e.count, e.width)).sum();
            assert_eq!(payload.len(), length, "the payload is the packed words and nothing else");
            rest = payload;
        }
        for (_, exchange) in plan.exchanges(level) {
            all.push(due.contains(&exchange).then(|| {
                let (head, tail) = rest.split_at(exchange.bytes());
                rest = tail;
                let mut words = vec![0; exchange.count];
                pack::unpack(head, exchange.width, &mut words);
                let mut again = Vec::new();
                pack::pack(&words, exchange.width, &mut again);
                assert!(again == head, "padding bits are zero");
                words
            }));
        }
        assert!(rest.is_empty(), "nothing follows the last exchange");
    }
    assert!(messages.next().is_none(), "no message beyond the plan's");
    all
}

fn share<'a>(seen: &'a Record, wire: &Wire) -> &'a [u64] {
    match &seen.values[wire.index()] {
        Some(Value::Share(words)) => words,
        _ => panic!("a share goes into this gate"),
    }
}

fn sum(a: &[u64], b: &[u64], width: u32) -> Vec<u64> {
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| a.wrapping_add(*b) & mask(width)).collect()
}

/// Holds a revealed value against the promise: the message and the client's share make the output.
fn check_reveal(plan: &Plan, node: usize, message: &[u64], width: u32, client: &Record) {
    let gate = &plan.nodes[node];
    let (_, offset) = plan.wires[gate.outputs[0].index()].opened();
    let Some(Value::Opened(output, _)) = &client.values[gate.outputs[0].index()] else {
        panic!("the client learns what is revealed")
    };
    let seen = sum(message, share(client, &gate.inputs[0]), width);
    let promised = output.iter().map(|o| o.wrapping_sub(offset) & mask(width));
    assert!(promised.eq(seen), "a revealed word is the output less the client's share");
}

/// The names of a plan's masked exchanges, three samples each.
fn named(plan: &Plan) -> Samples {
    let mut all = Vec::new();
    for level in 0..plan.levels.len() {
        for (at, (node, e)) in plan.exchanges(level).enumerate() {
            let gate = plan.nodes[node].gate.name();
            let name =
                |who| format!("level {level}, {gate}, exchange {at} of {} bits, {who}", e.width);
            let who: &[&str] = match e.to {
                To::Both => &["server's message", "client's message", "opened"],
                To::Server => &["client's message", "opened to the server"],
                To::Client => &[],
            };
            all.extend(who.iter().map(|who| (name(who), Sample::new(e.width))));
        }
    }
    all
}

fn collect(plan: &Plan, seen: &Transcript, samples: &mut Samples) {
    let server = unpacked(plan, &seen.records[0].sent, Role::Server);
    let client = unpacked(plan, &seen.records[1].sent, Role::Client);
    let exchanges = (0..plan.levels.len()).flat_map(|level| plan.exchanges(level));
    let mut slots = samples.iter_mut().map(|(_, sample)| sample);
    let mut put = |words| slots.next().expect("a sample for each").push(words);
    for ((node, e), pair) in exchanges.zip(server.into_iter().zip(client)) {
        match (e.to, pair) {
            (To::Both, (Some(a), Some(b))) => {
                let opened = sum(&a, &b, e.width);
                put(a);
                put(b);
                put(opened);
            }
            (To::Server, (None, Some(b))) => {
                let own = share(&seen.records[0], &plan.nodes[node].inputs[0]);
                let opened = sum(own, &b, e.width);
                put(b);
                put(opened);
            }
            (To::Client, (Some(a), None)) => {
                check_reveal(plan, node, &a, e.width, &seen.records[1]);
            }
            _ => panic!("who sends follows from who learns"),
        }
    }
}

/// The corrected party's corrections draw by draw, and the client's masked weights.
fn dealt_samples(plan: &Plan) -> Samples {
    let mut all = Vec::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        for (i, draw) in node.gate.draws().into_iter().enumerate() {
            let name = format!("node {index}, {}, correction of draw {i}", node.gate.name());
            match draw {
                Draw::Value { width, .. } => all.push((name, Sample::new(width))),
                Draw::OneHot { .. } => all.push((name, Sample::new(8))),
                Draw::Mask { .. } | Draw::ClientMask { .. } => {}
            }
        }
    }
    let weights = plan.weights.iter();
    all.extend(weights.map(|w| (format!("masked weights {}", w.name), Sample::new(w.width))));
    all
}

fn collect_dealt(plan: &Plan, seen: &Transcript, samples: &mut Samples) {
    let mut slots = samples.iter_mut().map(|(_, sample)| sample);
    let mut put = |bytes: &[u8], count, width| {
        let mut words = vec![0; count];
        pack::unpack(bytes, width, &mut words);
        slots.next().expect("a sample for each").push(words);
    };
    let mut rest = &seen.corrections[..];
    for draw in plan.nodes.iter().flat_map(|n| n.gate.draws()) {
        let (head, tail) = rest.split_at(draw.correction_bytes());
        rest = tail;
        match draw {
            Draw::Value { count, width } => put(head, count, width),
            Draw::OneHot { .. } => put(head, head.len(), 8),
            Draw::Mask { .. } | Draw::ClientMask { .. } => {}
        }
    }
    assert!(rest.is_empty(), "corrections beyond the plan's");
    let mut rest = &seen.setup[..];
    for w in &plan.weights {
        let (head, tail) = rest.split_at(pack::packed_len(w.outputs * w.inputs, w.width));
        rest = tail;
        put(head, w.outputs * w.inputs, w.width);
    }
    assert!(rest.is_empty(), "masked weights beyond the plan's");
}

/// What a test does to a transcript, whose seed it is told, before it is judged.
type Tamper<'a> = &'a dyn Fn(&mut Transcript, &Seed);

/// Everything that is seen over `runs` evaluations of one choice of secrets.
fn observe(
    plan: &Plan,
    secrets: &Secrets,
    runs: usize,
    seed: &Seed,
    tamper: Tamper<'_>,
) -> [Samples; 2] {
    let (mut online, mut dealt) = (named(plan), dealt_samples(plan));
    for run in 0..runs {
        let seed = seed.derive("run", run as u64);
        let corrected = [Role::Server, Role::Client][run % 2];
        let mut seen = transcript(plan, &secrets.matrices, &secrets.inputs, &seed, corrected);
        tamper(&mut seen, &seed);
        collect(plan, &seen, &mut online);
        collect_dealt(plan, &seen, &mut dealt);
    }
    [online, dealt]
}

/// Every statistic of both choices of secrets, and between them.
fn scores(
    plan: &Plan,
    secrets: &[Secrets; 2],
    runs: usize,
    name: &str,
    tamper: Tamper<'_>,
) -> Vec<Score> {
    let seed = Seed::from_bytes([0xc7; 32]).derive(name, 0);
    // Different seeds: between equal ones nothing would be left to compare.
    let [low, high] =
        [0, 1].map(|i| observe(plan, &secrets[i], runs, &seed.derive("secrets", i as u64), tamper));
    let mut all = Vec::new();
    let mut add = |what: &str, scores: Vec<Score>| {
        let named = scores.into_iter().map(|s| Score { what: format!("{what}: {}", s.what), ..s });
        all.extend(named);
    };
    for (low, high) in low.iter().zip(&high) {
        for ((what, a), (_, b)) in low.iter().zip(high) {
            add(what, a.scores());
            add(what, b.scores());
            add(what, a.against(b));
        }
        // One mask in two places shows in the difference.
        for samples in [low, high] {
            for (i, (what, a)) in samples.iter().enumerate() {
                for (other, b) in samples[..i].iter().filter(|(_, b)| a.fits(b)) {
                    if comparable(what, other) {
                        let scores = a.minus(b).plain_scores("difference, ");
                        add(&format!("{what} and {other}"), scores);
                    }
                }
            }
        }
    }
    all
}

/// Whether a mask could be shared by the two: words of one party in all levels, corrections of one node.
fn comparable(a: &str, b: &str) -> bool {
    match (a.split_once(", correction"), b.split_once(", correction")) {
        (Some((a, _)), Some((b, _))) => a == b,
        (None, None) => a.rsplit(", ").next() == b.rsplit(", ").next(),
        _ => false,
    }
}

pub fn judge(case: &Case) -> usize {
    let all = scores(&case.plan, &case.secrets, case.runs, &case.name, &|_, _| {});
    let count = all.len();
    let found = worst(all);
    println!("{}: {count} statistics, worst {:.2} ({})", case.name, found.z, found.what);
    assert!(found.z.abs() < LIMIT, "{}, {}: {} deviations", case.name, found.what, found.z);
    count
}

#[test]
fn every_gate_opens_uniform_words() {
    let count: usize = gate_plans::all().iter().map(judge).sum();
    assert!(count < MOST / 2, "{count} statistics are too many for the limit");
}

#[test]
fn whole_models_open_uniform_words() {
    let mut count = 0;
    for (i, (arch, batch, options)) in zoo::every_kind().into_iter().enumerate() {
        let name = zoo::describe(&arch);
        let model = zoo::specimen(arch, batch, options, i as u64);
        let size = model.images[0].len();
        let others = sotto_models::Weights::random(&model.arch, 1000);
        let dark = vec![vec![-2.0; size]; batch];
        let secrets = [(&model.weights, &model.images), (&others, &dark)].map(|(w, images)| {
            Secrets { matrices: model.private.matrices(w), inputs: model.private.encode(images) }
        });
        count += judge(&Case { name, plan: model.private.plan, secrets, runs: 40 });
    }
    assert!(count < MOST / 2, "{count} statistics are too many for the limit");
}

#[test]
fn broken_openings_are_caught() {
    for width in [3, 14, 40, 64] {
        let secrets = || {
            [0, sotto_ring::mask(width) as i64 >> 1]
                .map(|x| Secrets { matrices: Vec::new(), inputs: vec![vec![x; 64]; 2] })
        };
        let found = |fault: Fault| {
            let plan = broken::plan(64, width);
            let tamper = |seen: &mut Transcript, seed: &Seed| fault.put_into(seen, seed, 64, width);
            worst(scores(&plan, &secrets(), 64, "broken", &tamper))
        };
        let sound = found(Fault::Sound);
        assert!(sound.z.abs() < LIMIT, "{width} bits, {}: {}", sound.what, sound.z);
        for fault in Fault::ALL {
            let found = found(fault);
            assert!(found.z.abs() > LIMIT, "{fault:?} at {width} bits: {}", found.z);
        }
    }
}
