//! Results and times of a program on a device.

use std::time::{Duration, Instant};

use sotto_models::layer::Section;

use crate::{
    Error, Program,
    device::{Ceilings, Device, Session},
    precision::Precision,
};

/// How much time is given to each figure, after a run that is not counted.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Fewest runs.
    pub runs: usize,
    /// Runs go on until so much time is over.
    pub time: Duration,
}

impl Effort {
    /// Enough to see that all works.
    pub const QUICK: Effort = Effort { runs: 1, time: Duration::ZERO };
    /// Enough for a figure that is told.
    pub const FULL: Effort = Effort { runs: 5, time: Duration::from_secs(1) };
}

/// What one launch took, for a batch.
#[derive(Clone, Debug)]
pub struct Timed {
    /// Its part of the model.
    pub section: Section,
    /// Its kernel.
    pub kernel: &'static str,
    /// Seconds.
    pub seconds: f64,
    /// Floating-point operations.
    pub operations: u64,
    /// Fewest bytes.
    pub bytes: u64,
    /// Fewest seconds, by the device's ceilings.
    pub floor: f64,
}

/// What a program took.
#[derive(Clone, Debug)]
pub struct Times {
    /// Median seconds of one input, from the processor's memory and back.
    pub one: f64,
    /// The same where inputs and results stay on the device; `None` where nothing moves.
    pub one_inside: Option<f64>,
    /// Fewest seconds of one input by the device's ceilings.
    pub one_floor: f64,
    /// Inputs at once.
    pub batch: usize,
    /// Median seconds of a batch, from the processor's memory and back.
    pub all: f64,
    /// The same where inputs and results stay on the device.
    pub all_inside: Option<f64>,
    /// Fewest seconds of a batch.
    pub all_floor: f64,
    /// The device's ceilings.
    pub ceilings: Ceilings,
    /// Each launch of a batch, where the device has a clock.
    pub launches: Option<Vec<Timed>>,
}

/// The results of inputs, `batch` at once.
///
/// # Errors
/// Those of [`Device::load`] and [`crate::device::Session::run`].
pub fn results(
    device: &dyn Device,
    program: &Program,
    precision: Precision,
    batch: usize,
    inputs: &[&[f32]],
) -> Result<Vec<Vec<f32>>, Error> {
    let batch = batch.min(inputs.len());
    if batch == 0 {
        return Ok(Vec::new());
    }
    let mut session = device.load(program, batch, precision)?;
    let mut out = Vec::with_capacity(inputs.len());
    for some in inputs.chunks(batch) {
        // The last batch is filled up.
        let filled = some.iter().chain(std::iter::repeat(&inputs[0])).take(batch);
        let all = session.run(&filled.copied().collect::<Vec<_>>().concat())?;
        out.extend(all.chunks_exact(program.output.1).take(some.len()).map(<[f32]>::to_vec));
    }
    Ok(out)
}

/// Times of one input and of a batch of it.
///
/// # Errors
/// As [`results`].
pub fn times(
    device: &dyn Device,
    program: &Program,
    precision: Precision,
    batch: usize,
    input: &[f32],
    effort: Effort,
) -> Result<Times, Error> {
    let ceilings = device.ceilings(precision)?;
    let floors = |batch: usize| {
        let launches = program.launches.iter();
        launches.map(move |launch| {
            ceilings.floor(launch.bytes(batch, precision.width()), launch.operations(batch))
        })
    };
    let one = medians(device, program, (precision, 1), input, effort)?;
    let all = medians(device, program, (precision, batch), input, effort)?;
    let launches = all.launches.map(|profile| {
        let each = program.launches.iter().zip(profile).zip(floors(batch));
        let timed = each.map(|((launch, seconds), floor)| Timed {
            section: launch.section,
            kernel: launch.kernel.name(),
            seconds,
            operations: launch.operations(batch),
            bytes: launch.bytes(batch, precision.width()),
            floor,
        });
        timed.collect()
    });
    let [one_floor, all_floor] = [1, batch].map(|batch| floors(batch).sum());
    Ok(Times {
        one: one.outside,
        one_inside: one.inside,
        one_floor,
        batch,
        all: all.outside,
        all_inside: all.inside,
        all_floor,
        ceilings,
        launches,
    })
}

/// Median seconds of a batch of one input.
///
/// # Errors
/// As [`results`].
pub fn seconds(
    device: &dyn Device,
    program: &Program,
    precision: Precision,
    batch: usize,
    input: &[f32],
    effort: Effort,
) -> Result<f64, Error> {
    let mut session = device.load(program, batch, precision)?;
    outside(&mut *session, &input.repeat(batch), effort)
}

/// What a batch of one input took.
struct Medians {
    /// From the processor's memory and back.
    outside: f64,
    /// Where inputs and results stay on the device.
    inside: Option<f64>,
    /// Of each launch.
    launches: Option<Vec<f64>>,
}

fn medians(
    device: &dyn Device,
    program: &Program,
    (precision, batch): (Precision, usize),
    input: &[f32],
    effort: Effort,
) -> Result<Medians, Error> {
    let mut session = device.load(program, batch, precision)?;
    let outside = outside(&mut *session, &input.repeat(batch), effort)?;
    let inside = median(effort, || session.again())?;
    Ok(Medians { outside, inside, launches: session.profile()? })
}

/// Median seconds from the processor's memory and back, after a run that is not counted.
fn outside(session: &mut dyn Session, inputs: &[f32], effort: Effort) -> Result<f64, Error> {
    session.run(inputs)?;
    let seconds = median(effort, || {
        let start = Instant::now();
        session.run(inputs)?;
        Ok(Some(start.elapsed().as_secs_f64()))
    })?;
    Ok(seconds.expect("a run has a time"))
}

/// The median of what `of` measures; `None` where it measures nothing.
fn median(
    effort: Effort,
    mut of: impl FnMut() -> Result<Option<f64>, Error>,
) -> Result<Option<f64>, Error> {
    let (begun, mut seconds) = (Instant::now(), Vec::new());
    while seconds.len() < effort.runs || begun.elapsed() < effort.time {
        let Some(one) = of()? else { return Ok(None) };
        seconds.push(one);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(Some(seconds[seconds.len() / 2]))
}
