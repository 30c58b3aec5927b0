//! Evaluations inside this process, with a clock on every step.

use std::{sync::mpsc, thread, time::Instant};

use sotto_crypto::Seed;
use sotto_net::Link;
use sotto_protocols::{
    Role,
    batch::{Batch, Staged},
    deal::deal,
    local,
    observer::Observer,
    party::Evaluation,
    plan::{Plan, Step},
    weights::{Matrix, SetupMasks, read_setup, setup_message},
};

use super::messages::Pair;
use crate::machine::{Phase, SetupRates};

/// Evaluations of each model; the first one warms up and is not counted.
const RUNS: u64 = 6;

/// A stopwatch on one party's evaluation.
struct Laps {
    clock: Clock,
    /// Seconds of each call of a gate.
    steps: Vec<(Step, f64)>,
    /// Seconds of unpacking what a level opened.
    opened: Vec<(usize, f64)>,
    /// Seconds from the start to the end.
    whole: f64,
}

impl Laps {
    fn lap(&mut self) -> f64 {
        let lap = self.clock.lap();
        self.whole += lap;
        lap
    }
}

impl Observer for Laps {
    fn ran(&mut self, step: Step) {
        let lap = self.lap();
        self.steps.push((step, lap));
    }

    fn received(&mut self, _: usize) {
        self.lap();
    }

    fn opened(&mut self, level: usize) {
        let lap = self.lap();
        self.opened.push((level, lap));
    }
}

/// A stopwatch on one party's staging.
struct Staging<'a>(Clock, Role, &'a mut Seconds);

impl Observer for Staging<'_> {
    fn staged(&mut self, node: usize) {
        let Self(clock, role, seconds) = self;
        seconds.steps.push((node, Phase::Stage(*role), clock.lap()));
    }
}

/// Seconds of every step of one evaluation.
#[derive(Default)]
pub(super) struct Seconds {
    /// Node, phase, seconds.
    pub(super) steps: Vec<(usize, Phase, f64)>,
    /// Elements unpacked and the seconds for it.
    pub(super) unpacked: (f64, f64),
    /// From both parties' start to the client's result.
    pub(super) online: f64,
}

/// A plan with its weights inside this process.
pub(super) struct Local<'a> {
    plan: &'a Plan,
    session: local::Local<'a>,
    /// Seconds a byte of the setup.
    pub(super) seconds: SetupRates,
}

impl<'a> Local<'a> {
    pub(super) fn new(plan: &'a Plan, matrices: Vec<Matrix>) -> Self {
        let mut clock = Clock::start();
        let mut lap = || clock.lap() / plan.setup_bytes() as f64;
        let setup = SetupMasks::expand(plan, &Seed::from_bytes([3; 32]));
        let expand = lap();
        let message = setup_message(plan, &matrices, &setup);
        let mask = lap();
        let read = read_setup(plan, message, "server").map(|_| lap());
        let read = read.expect("it was made for this plan");
        let seconds = SetupRates { expand, mask, read };
        let session = local::Local::new(plan, matrices, &Seed::from_bytes([4; 32]));
        Self { plan, session: session.expect("they were taken just now"), seconds }
    }

    /// Several evaluations. Random weights: nothing here is secret.
    pub(super) fn run_all(&self, pair: &mut Pair, inputs: &[Vec<i64>]) -> Vec<Seconds> {
        let Pair { left, right, .. } = pair;
        thread::scope(|scope| {
            // One thread for all evaluations, as a server has it: a fresh one would have to fault its memory in.
            let (staged, work) = mpsc::sync_channel(1);
            let (done, ran) = mpsc::channel();
            scope.spawn(move || {
                let zeros: Vec<Vec<i64>> = inputs.iter().map(|x| vec![0; x.len()]).collect();
                for staged in work {
                    let events = self.evaluate(Role::Server, left, staged, &zeros);
                    if done.send(events).is_err() {
                        return;
                    }
                }
            });
            let server = |ready| {
                staged.send(ready).expect("the server's thread waits for it");
            };
            let ran = || ran.recv().expect("the server's thread does not panic");
            let run = |number| self.run(number, right, inputs, &server, &ran);
            let runs: Vec<Seconds> = (0..RUNS).map(run).collect();
            runs.into_iter().skip(1).collect()
        })
    }

    /// One party's evaluation.
    fn evaluate(
        &self,
        role: Role,
        link: &mut dyn Link,
        staged: Staged,
        inputs: &[Vec<i64>],
    ) -> Laps {
        let party = self.session.party(role);
        let levels = self.plan.levels.len();
        let mut laps = Laps {
            clock: Clock::start(),
            steps: Vec::with_capacity(levels + self.plan.nodes.len()),
            opened: Vec::with_capacity(levels),
            whole: 0.0,
        };
        laps.clock = Clock::start();
        let evaluation = Evaluation::new(&party, staged, inputs).expect("the plan's input");
        evaluation.observed(&mut laps).run(link).expect("both parties are here");
        laps
    }

    /// One evaluation, step by step.
    fn run(
        &self,
        number: u64,
        link: &mut dyn Link,
        inputs: &[Vec<i64>],
        server_goes: &dyn Fn(Staged),
        server_ran: &dyn Fn() -> Laps,
    ) -> Seconds {
        let plan = self.plan;
        let mut seconds = Seconds::default();
        let seeds = self.session.seeds(number, Role::Server);
        let mut corrections = Vec::with_capacity(plan.correction_bytes());
        let (mut clock, mut node) = (Clock::start(), 0);
        let Ok(()) = deal(plan, &seeds, self.session.masks(), |bytes| {
            seconds.steps.push((node, Phase::Deal, clock.lap()));
            node += 1;
            corrections.extend(bytes);
            clock.lap();
            Ok::<(), std::convert::Infallible>(())
        });
        let [server, client] = Batch::pair(number, &seeds, corrections);
        let [server, client] =
            [(Role::Server, server), (Role::Client, client)].map(|(role, batch)| {
                let weights = self.session.party(role).weights;
                let mut staging = Staging(Clock::start(), role, &mut seconds);
                let staged = batch.stage_observed(plan, role, weights, &mut staging);
                staged.expect("the corrections are whole")
            });
        server_goes(server);
        let client = self.evaluate(Role::Client, link, client, inputs);
        let ran = [server_ran(), client];
        for (role, laps) in [Role::Server, Role::Client].into_iter().zip(&ran) {
            for &(Step { node, round }, lap) in &laps.steps {
                seconds.steps.push((node, Phase::Run(role, round), lap));
            }
            for &(level, lap) in &laps.opened {
                let learned = plan.exchanges(level).map(|(_, e)| e.count).sum::<usize>();
                seconds.unpacked.0 += learned as f64;
                seconds.unpacked.1 += lap;
            }
        }
        seconds.online = ran.iter().map(|laps| laps.whole).fold(0.0, f64::max);
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
