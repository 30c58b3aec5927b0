//! Measures a machine: small models with every gate, evaluated by two parties in this process over
//! QUIC on loopback, so that gates and messages are measured as they meet each other. Well under a minute.

mod messages;
mod models;

use std::{collections::BTreeMap, thread, time::Instant};

use sotto_crypto::Seed;
use sotto_net::Link;
use sotto_protocols::{
    Role,
    batch::Batch,
    deal::{Seeds, deal},
    party::{Event, Party},
    plan::{Plan, Step},
    weights::{SetupMasks, Weights, read_setup, setup_message},
};

use crate::{
    Error,
    fit::{Sample, fit},
    machine::{Machine, Messages, Phase, Rate, SetupRates, size},
};
use messages::Pair;

/// Evaluations of each model; the first one warms up and is not counted.
const RUNS: usize = 6;

/// What lies between the two parties that are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Through {
    /// Nothing: what a machine does by itself.
    #[default]
    Loopback,
    /// The emulator, adding nothing but its own work: to compare predictions with what is measured through
    /// it on this machine, whose cores it shares.
    Emulator,
}

/// Seconds of every step of one evaluation.
#[derive(Default)]
struct Seconds {
    steps: Vec<(usize, Phase, f64)>,
    /// Elements unpacked and the seconds for it.
    unpacked: (f64, f64),
    /// For each level and receiver: bytes, and seconds on the way where the receiver was waiting.
    messages: Vec<(usize, Option<f64>)>,
}

/// Measures this machine; `progress` is told what is done, of how much.
///
/// # Errors
/// [`Error::Io`] when loopback does not work.
pub fn calibrate(
    through: Through,
    mut progress: impl FnMut(usize, usize),
) -> Result<Machine, Error> {
    let models = models::all();
    let parts = models.len() + 1;
    progress(0, parts);
    let mut pair = Pair::new(through)?;
    let mut messages = Messages { stream_byte: pair.stream_byte()?, ..Messages::default() };
    progress(1, parts);
    let mut samples: BTreeMap<(&'static str, String), Vec<Sample>> = BTreeMap::new();
    // That of the largest model.
    let mut setup = SetupRates::default();
    let (mut unpacked, mut carried) = ((0.0, 0.0), Vec::new());
    for (done, model) in models.into_iter().enumerate() {
        let private = model.private();
        let plan = &*private.plan;
        let weights = sotto_models::Weights::random(&model.arch, 7);
        let local = Local::new(plan, private.matrices(&weights));
        if done == 0 {
            setup = local.seconds;
        }
        let runs = local.run_all(&mut pair, &private.encode(&[model.image()]));
        for run in &runs {
            unpacked.0 += run.unpacked.0;
            unpacked.1 += run.unpacked.1;
        }
        for (i, &(node, phase, _)) in runs[0].steps.iter().enumerate() {
            let seconds = median(runs.iter().map(|r| r.steps[i].2)).expect("there are runs");
            let node = &plan.nodes[node];
            let [work, elements, bytes] = size(plan, node, phase);
            let sample = ([1.0, work, elements, bytes], seconds);
            samples.entry((node.gate.name(), phase.to_string())).or_default().push(sample);
        }
        for (i, &(bytes, _)) in runs[0].messages.iter().enumerate() {
            let waited = || runs.iter().filter_map(|r| r.messages[i].1);
            if 2 * waited().count() > runs.len() {
                let seconds = median(waited()).expect("some waited");
                carried.push(([1.0, 0.0, 0.0, bytes as f64], seconds));
            }
        }
        progress(done + 2, parts);
    }
    messages.element = unpacked.1 / f64::max(unpacked.0, 1.0);
    [messages.fixed, _, _, messages.byte] = fit(&carried);
    let mut machine = Machine::new(processor(), messages, setup);
    for ((gate, phase), samples) in samples {
        let [call, work, element, byte] = fit(&samples);
        let phases = machine.gates.entry(gate.to_owned()).or_default();
        phases.insert(phase, Rate { call, work, element, byte });
    }
    Ok(machine)
}

fn median(seconds: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = seconds.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// What the processor calls itself.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// A plan with its weights inside this process.
struct Local<'a> {
    plan: &'a Plan,
    setup: SetupMasks,
    weights: [Weights; 2],
    seconds: SetupRates,
}

impl<'a> Local<'a> {
    fn new(plan: &'a Plan, matrices: Vec<sotto_protocols::weights::Matrix>) -> Self {
        let mut clock = Clock::start();
        let mut lap = || clock.lap() / plan.setup_bytes() as f64;
        let setup = SetupMasks::expand(plan, &Seed::from_bytes([3; 32]));
        let expand = lap();
        let message = setup_message(plan, &matrices, &setup);
        let mask = lap();
        let masked = read_setup(plan, &message, "server").expect("it was made for this plan");
        let seconds = SetupRates { expand, mask, read: lap() };
        Self { plan, setup, weights: [Weights::Plain(matrices), masked], seconds }
    }

    fn run_all(&self, pair: &mut Pair, input: &[i64]) -> Vec<Seconds> {
        (0..RUNS).map(|run| self.run(run as u64, pair, input)).skip(1).collect()
    }

    /// One evaluation, step by step. Random weights: nothing here is secret.
    fn run(&self, number: u64, pair: &mut Pair, input: &[i64]) -> Seconds {
        let plan = self.plan;
        let mut seconds = Seconds::default();
        let master = Seed::from_bytes([4; 32]);
        let party = ["server", "client"].map(|name| master.derive(name, number));
        let seeds = Seeds { party, corrected: Role::Server };
        let mut corrections = Vec::with_capacity(plan.correction_bytes());
        let (mut clock, mut node) = (Clock::start(), 0);
        let Ok(()) = deal(plan, &seeds, &self.setup, |bytes| {
            seconds.steps.push((node, Phase::Deal, clock.lap()));
            node += 1;
            corrections.extend(bytes);
            clock.lap();
            Ok::<(), std::convert::Infallible>(())
        });
        let [server, client] = seeds.party;
        let server = Batch { id: number, seed: server, corrections: Some(corrections) };
        let client = Batch { id: number, seed: client, corrections: None };
        let [server, client] =
            [(Role::Server, server), (Role::Client, client)].map(|(role, batch)| {
                let mut clock = Clock::start();
                let weights = &self.weights[role.index()];
                let staged = batch.stage_observed(plan, role, weights, &mut |node| {
                    seconds.steps.push((node, Phase::Stage(role), clock.lap()));
                });
                staged.expect("the corrections are whole")
            });
        let zeros = vec![0; input.len()];
        let evaluate = |role: Role, link: &mut dyn Link, staged, input: &[i64]| {
            let weights = &self.weights[role.index()];
            let party = Party { role, plan, weights, watch: false };
            let mut events = Vec::with_capacity(4 * plan.levels.len() + plan.nodes.len());
            let input = [input.to_vec()];
            let begin = Instant::now();
            party
                .evaluate_observed(link, staged, &input, &mut |event| {
                    events.push((event, Instant::now()));
                })
                .expect("both parties are here");
            (begin, events)
        };
        let ran = thread::scope(|scope| {
            let Pair { left, right, .. } = pair;
            let server = scope.spawn(|| evaluate(Role::Server, left, server, &zeros));
            let client = evaluate(Role::Client, right, client, input);
            [server.join().expect("the server's thread does not panic"), client]
        });
        for (role, (begin, events)) in [Role::Server, Role::Client].into_iter().zip(&ran) {
            let mut last = *begin;
            for &(event, at) in events {
                let lap = (at - std::mem::replace(&mut last, at)).as_secs_f64();
                match event {
                    Event::Ran(Step { node, round }) => {
                        seconds.steps.push((node, Phase::Run(role, round), lap));
                    }
                    Event::Opened(level) => {
                        let learned = plan.exchanges(level).map(|(_, e)| e.count).sum::<usize>();
                        seconds.unpacked.0 += learned as f64;
                        seconds.unpacked.1 += lap;
                    }
                    _ => {}
                }
            }
        }
        seconds.messages = messages(plan, ran.map(|(_, events)| events));
        seconds
    }
}

/// Seconds below which a receiver did not wait: the message had been there.
const WAIT: f64 = 5e-6;

/// Each level's messages: bytes, and seconds from the sender's being ready to the receiver's having them.
fn messages(plan: &Plan, events: [Vec<(Event, Instant)>; 2]) -> Vec<(usize, Option<f64>)> {
    let times = |role: Role| {
        let events = &events[role.index()];
        let mut levels = vec![[None; 3]; plan.levels.len()];
        let mut level = 0;
        for &(event, at) in events {
            match event {
                Event::Ran(_) => levels[level][0] = Some(at),
                Event::Sent(l) => levels[l][1] = Some(at),
                Event::Received(l) => levels[l][2] = Some(at),
                Event::Opened(l) => level = l + 1,
            }
        }
        levels
    };
    let (server, client) = (times(Role::Server), times(Role::Client));
    let mut all = Vec::new();
    for level in 0..plan.levels.len() {
        for (from, sender, receiver) in
            [(Role::Server, &server, &client), (Role::Client, &client, &server)]
        {
            let bytes = plan.level_bytes(level, from);
            let ([ready, ..], [_, sent, received]) = (sender[level], receiver[level]);
            if let (true, Some(ready), Some(sent), Some(received)) =
                (bytes > 0, ready, sent, received)
            {
                let waited = (received - sent).as_secs_f64() > WAIT;
                let way = received.saturating_duration_since(ready).as_secs_f64();
                all.push((bytes, waited.then_some(way)));
            }
        }
    }
    all
}

/// A stopwatch.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let lap = now - std::mem::replace(&mut self.0, now);
        lap.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_the_plan_is_measured_once() {
        let model = models::small();
        let private = model.private();
        let weights = sotto_models::Weights::random(&model.arch, 7);
        let local = Local::new(&private.plan, private.matrices(&weights));
        let mut pair = Pair::new(Through::Loopback).unwrap();
        let seconds = local.run(0, &mut pair, &private.encode(&[model.image()]));
        let nodes = private.plan.nodes.len();
        let steps = private.plan.levels.iter().map(Vec::len).sum::<usize>();
        assert_eq!(seconds.steps.len(), 3 * nodes + 2 * steps);
        assert!(seconds.steps.iter().map(|s| s.2).sum::<f64>() > 0.0);
        assert!(seconds.unpacked.0 > 0.0);
        let levels = 0..private.plan.levels.len();
        let messages = levels.flat_map(|level| {
            [Role::Server, Role::Client].map(|from| private.plan.level_bytes(level, from))
        });
        let measured: Vec<usize> = seconds.messages.iter().map(|m| m.0).collect();
        assert_eq!(measured, messages.filter(|&bytes| bytes > 0).collect::<Vec<_>>());
        assert!(seconds.messages.iter().any(|m| m.1.is_some()), "somebody always waits");
    }
}
