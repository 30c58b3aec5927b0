//! Measures a machine: every gate in small models evaluated inside this process, and messages over
//! QUIC on loopback. About a minute.

mod messages;
mod models;

use std::{collections::BTreeMap, thread, time::Instant};

use sotto_crypto::Seed;
use sotto_net::local_pair;
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
    machine::{Machine, Phase, Rate, size},
};

/// Evaluations of each model; the first one warms up and is not counted.
const RUNS: usize = 6;

/// Seconds of every step of one evaluation.
#[derive(Default)]
struct Seconds {
    steps: Vec<(usize, Phase, f64)>,
    /// Elements unpacked and the seconds for it.
    unpacked: (f64, f64),
}

/// Measures this machine; `progress` is told what is done, of how much.
///
/// # Errors
/// [`Error::Io`] when loopback does not work.
pub fn calibrate(mut progress: impl FnMut(usize, usize)) -> Result<Machine, Error> {
    let models = models::all();
    let parts = models.len() + 1;
    progress(0, parts);
    let mut messages = messages::measure()?;
    progress(1, parts);
    let mut samples: BTreeMap<(&'static str, String), Vec<Sample>> = BTreeMap::new();
    let mut unpacked = (0.0, 0.0);
    for (done, model) in models.into_iter().enumerate() {
        let private = model.private();
        let plan = &*private.plan;
        let weights = sotto_models::Weights::random(&model.arch, 7);
        let runs =
            Local::new(plan, private.matrices(&weights)).run_all(&private.encode(&[model.image()]));
        for run in &runs {
            unpacked.0 += run.unpacked.0;
            unpacked.1 += run.unpacked.1;
        }
        for (i, &(node, phase, _)) in runs[0].steps.iter().enumerate() {
            let mut seconds: Vec<f64> = runs.iter().map(|r| r.steps[i].2).collect();
            seconds.sort_by(f64::total_cmp);
            let node = &plan.nodes[node];
            let [work, elements, bytes] = size(plan, node, phase);
            let sample = ([1.0, work, elements, bytes], seconds[seconds.len() / 2]);
            samples.entry((node.gate.name(), phase.to_string())).or_default().push(sample);
        }
        progress(done + 2, parts);
    }
    messages.element = unpacked.1 / f64::max(unpacked.0, 1.0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut machine = Machine::new(processor(), cores, messages);
    for ((gate, phase), samples) in samples {
        let [call, work, element, byte] = fit(&samples);
        let phases = machine.gates.entry(gate.to_owned()).or_default();
        phases.insert(phase, Rate { call, work, element, byte });
    }
    Ok(machine)
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
}

impl<'a> Local<'a> {
    fn new(plan: &'a Plan, matrices: Vec<sotto_protocols::weights::Matrix>) -> Self {
        let setup = SetupMasks::expand(plan, &Seed::from_bytes([3; 32]));
        let message = setup_message(plan, &matrices, &setup);
        let masked = read_setup(plan, &message, "server").expect("it was made for this plan");
        Self { plan, setup, weights: [Weights::Plain(matrices), masked] }
    }

    fn run_all(&self, input: &[i64]) -> Vec<Seconds> {
        (0..RUNS).map(|run| self.run(run as u64, input)).skip(1).collect()
    }

    /// One evaluation, step by step. Random weights: nothing here is secret.
    fn run(&self, number: u64, input: &[i64]) -> Seconds {
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
        let (mut to_client, mut to_server) = local_pair("client", "server");
        let zeros = vec![0; input.len()];
        let evaluate = |role: Role, link: &mut dyn sotto_net::Link, staged, input: &[i64]| {
            let weights = &self.weights[role.index()];
            let party = Party { role, plan, weights, watch: false };
            let mut events = Vec::with_capacity(4 * plan.levels.len() + plan.nodes.len());
            let mut clock = Clock::start();
            let input = [input.to_vec()];
            party
                .evaluate_observed(link, staged, &input, &mut |event| {
                    events.push((event, clock.lap()))
                })
                .expect("both parties are here");
            events
        };
        let (ran_server, ran_client) = thread::scope(|scope| {
            let server = scope.spawn(|| evaluate(Role::Server, &mut to_client, server, &zeros));
            let client = evaluate(Role::Client, &mut to_server, client, input);
            (server.join().expect("the server's thread does not panic"), client)
        });
        for (role, events) in [(Role::Server, ran_server), (Role::Client, ran_client)] {
            for (event, lap) in events {
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
        seconds
    }
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
        let seconds = local.run(0, &private.encode(&[model.image()]));
        let nodes = private.plan.nodes.len();
        let steps = private.plan.levels.iter().map(Vec::len).sum::<usize>();
        assert_eq!(seconds.steps.len(), 3 * nodes + 2 * steps);
        assert!(seconds.steps.iter().map(|s| s.2).sum::<f64>() > 0.0);
        assert!(seconds.unpacked.0 > 0.0);
    }
}
