//! This processor: inputs of a batch are computed side by side, one a thread, so that an input's activations stay in a core's
//! cache.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use crate::{
    Error, Program,
    device::{Ceilings, Device, Info, Session},
    host,
    kernel::Source,
    precision::Precision,
};

/// This processor.
#[derive(Debug)]
pub struct Cpu {
    info: Info,
    threads: usize,
}

impl Cpu {
    /// With a thread for each core.
    pub fn new() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let info = Info {
            device: "cpu",
            name: format!("this processor, {threads} threads"),
            driver: "ndarray".into(),
            precisions: vec![Precision::F32],
            software: false,
        };
        Self { info, threads }
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes of memory that are free, where the system tells.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// The best of some repetitions, in seconds.
fn best(times: usize, mut run: impl FnMut()) -> f64 {
    let once = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..times).map(once).fold(f64::INFINITY, f64::min)
}

impl Device for Cpu {
    fn info(&self) -> &Info {
        &self.info
    }

    fn ceilings(&self, _: Precision) -> Result<Ceilings, Error> {
        const COPIED: usize = 64 << 20;
        const SIDE: usize = 512;
        let (from, mut to) = (vec![1u8; COPIED], vec![0u8; COPIED]);
        let share = COPIED.div_ceil(self.threads);
        let copy = best(4, || {
            thread::scope(|scope| {
                for (to, from) in to.chunks_mut(share).zip(from.chunks(share)) {
                    scope.spawn(move || to.copy_from_slice(from));
                }
            });
        });
        let product = best(3, || {
            thread::scope(|scope| {
                for _ in 0..self.threads {
                    scope.spawn(|| {
                        let x = vec![0.5; SIDE * SIDE];
                        let mut y = vec![0.0; SIDE * SIDE];
                        for _ in 0..4 {
                            host::product_by_rows((SIDE, SIDE, SIDE), &x, &x, &mut y);
                        }
                    });
                }
            });
        });
        let operations = (4 * self.threads * 2 * SIDE.pow(3)) as f64;
        Ok(Ceilings { bytes: 2.0 * COPIED as f64 / copy, operations: operations / product })
    }

    fn load<'a>(
        &'a self,
        program: &'a Program,
        batch: usize,
        precision: Precision,
    ) -> Result<Box<dyn Session + 'a>, Error> {
        self.info.supports(precision)?;
        let threads = self.threads.min(batch).max(1);
        let numbers = batch * (2 * program.input.1 + program.output.1);
        let needed = program.memory(threads, 4).saturating_add(4 * numbers as u64);
        if let Some(room) = available().filter(|&room| room < needed) {
            return Err(Error::Memory {
                device: self.info.name.clone(),
                room: room >> 20,
                what: format!("a batch of {batch}"),
                needed: needed >> 20,
            });
        }
        let lanes = (0..threads).map(|_| Lane::new(program)).collect();
        Ok(Box::new(Inputs { program, batch, lanes, last: Vec::new() }))
    }
}

/// The buffers of one thread.
struct Lane {
    buffers: Vec<Vec<f32>>,
}

impl Lane {
    fn new(program: &Program) -> Self {
        Self { buffers: program.buffers.iter().map(|&n| vec![0.0; n]).collect() }
    }

    /// One input; `see` is called after each launch.
    fn run(
        &mut self,
        program: &Program,
        input: &[f32],
        out: &mut [f32],
        mut see: impl FnMut(usize),
    ) {
        self.buffers[program.input.0][..input.len()].copy_from_slice(input);
        for (at, launch) in program.launches.iter().enumerate() {
            let mut result = std::mem::take(&mut self.buffers[launch.output]);
            let operands = launch.kernel.operands();
            let inputs: Vec<&[f32]> = (launch.inputs.iter().zip(&operands))
                .map(|(source, operand)| match *source {
                    Source::Constant(at) => &program.constants[at][..],
                    Source::Buffer(at) => &self.buffers[at][..operand.numbers],
                })
                .collect();
            launch.kernel.host(&inputs, &mut result[..launch.kernel.output()]);
            self.buffers[launch.output] = result;
            see(at);
        }
        out.copy_from_slice(&self.buffers[program.output.0][..out.len()]);
    }
}

/// A program for inputs that are computed side by side.
struct Inputs<'a> {
    program: &'a Program,
    batch: usize,
    lanes: Vec<Lane>,
    last: Vec<f32>,
}

impl Session for Inputs<'_> {
    fn run(&mut self, inputs: &[f32]) -> Result<Vec<f32>, Error> {
        let (size, numbers) = (self.program.input.1, self.program.output.1);
        assert_eq!(inputs.len(), self.batch * size, "run: numbers in a batch");
        let next = AtomicUsize::new(0);
        let (program, next) = (self.program, &next);
        let mut out = vec![0.0; self.batch * numbers];
        let lanes = &mut self.lanes;
        if let [lane] = &mut lanes[..] {
            for (input, out) in inputs.chunks_exact(size).zip(out.chunks_exact_mut(numbers)) {
                lane.run(program, input, out, |_| ());
            }
        } else {
            let made = thread::scope(|scope| {
                let work = lanes.iter_mut().map(|lane| {
                    scope.spawn(move || {
                        let mut made = Vec::new();
                        let take = || Some(next.fetch_add(1, Ordering::Relaxed));
                        for at in
                            std::iter::from_fn(take).take_while(|&at| at * size < inputs.len())
                        {
                            let mut out = vec![0.0; numbers];
                            lane.run(program, &inputs[at * size..][..size], &mut out, |_| ());
                            made.push((at, out));
                        }
                        made
                    })
                });
                let work: Vec<_> = work.collect();
                let done = work.into_iter().map(|thread| thread.join());
                done.flat_map(|made| made.expect("a kernel panics on a shape bug alone"))
                    .collect::<Vec<_>>()
            });
            for (at, result) in made {
                out[at * numbers..][..numbers].copy_from_slice(&result);
            }
        }
        self.last = inputs.to_vec();
        Ok(out)
    }

    fn again(&mut self) -> Result<Option<f64>, Error> {
        Ok(None)
    }

    fn profile(&mut self) -> Result<Option<Vec<f64>>, Error> {
        let mut seconds = vec![0.0; self.program.launches.len()];
        let mut out = vec![0.0; self.program.output.1];
        for input in self.last.chunks_exact(self.program.input.1) {
            let mut start = Instant::now();
            self.lanes[0].run(self.program, input, &mut out, |at| {
                let now = Instant::now();
                seconds[at] += (now - start).as_secs_f64();
                start = now;
            });
        }
        seconds.iter_mut().for_each(|s| *s /= self.lanes.len() as f64);
        Ok(Some(seconds))
    }
}
