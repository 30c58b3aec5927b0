//! A program on a card.
#![allow(unsafe_code)]

use std::{collections::BTreeMap, thread, time::Instant};

use cudarc::driver::{
    CudaFunction, CudaGraph, CudaSlice, DriverError, LaunchConfig, PushKernelArg, sys,
};

use super::{Cuda, source};
use crate::{
    Error, Program,
    device::Session,
    kernel::Source,
    numbers::{decode, encode},
    precision::Precision,
};

/// A kernel with its grid.
type Step = (CudaFunction, LaunchConfig);

pub(super) struct Loaded<'a> {
    cuda: &'a Cuda,
    program: &'a Program,
    batch: usize,
    precision: Precision,
    constants: Vec<CudaSlice<u8>>,
    buffers: Vec<CudaSlice<u8>>,
    steps: Vec<Step>,
    /// All launches as one. It holds the addresses of the buffers, which live as long.
    graph: Option<CudaGraph>,
}

impl<'a> Loaded<'a> {
    pub(super) fn new(
        cuda: &'a Cuda,
        program: &'a Program,
        batch: usize,
        precision: Precision,
    ) -> Result<Self, Error> {
        let stopped = |e| cuda.stopped(e);
        let needed = program.memory(batch, precision.width());
        let (room, _) = cuda.context.mem_get_info().map_err(stopped)?;
        if needed > room as u64 {
            return Err(Error::Memory {
                device: cuda.info.name.clone(),
                room: room as u64 >> 20,
                what: format!("this model at a batch of {batch}"),
                needed: needed >> 20,
            });
        }
        let steps = steps(cuda, program, batch, precision)?;
        let constants = (program.constants.iter())
            .map(|values| cuda.stream.clone_htod(&encode(values, precision)).map_err(stopped));
        let constants = constants.collect::<Result<Vec<_>, _>>()?;
        let buffers = program.buffers.iter().map(|&numbers| {
            let bytes = (numbers * batch * precision.width()).next_multiple_of(4);
            cuda.stream.alloc_zeros::<u8>(bytes).map_err(stopped)
        });
        let buffers = buffers.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { cuda, program, batch, precision, constants, buffers, steps, graph: None })
    }

    fn launch(&mut self, at: usize) -> Result<(), DriverError> {
        let (launch, (function, config)) = (&self.program.launches[at], &self.steps[at]);
        let mut arguments = self.cuda.stream.launch_builder(function);
        for source in &launch.inputs {
            arguments.arg(match *source {
                Source::Constant(at) => &self.constants[at],
                Source::Buffer(at) => &self.buffers[at],
            });
        }
        arguments.arg(&self.buffers[launch.output]);
        // SAFETY: the kernel's parameters are its operands and its result, in this order, and the program's writer has checked
        // that each has the numbers that the kernel says it reads and writes; the result is none of the operands, and nothing
        // else runs on the stream.
        unsafe { arguments.launch(*config) }.map(drop)
    }

    /// All launches as one, recorded at the first call.
    fn graph(&mut self) -> Result<&CudaGraph, DriverError> {
        if self.graph.is_none() {
            let stream = &self.cuda.stream;
            stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
            let recorded = (0..self.steps.len()).try_for_each(|at| self.launch(at));
            // Ended also where a launch was refused, or the stream would record for ever.
            let graph = self.cuda.stream.end_capture(sys::CUgraphInstantiate_flags(0));
            recorded?;
            self.graph = graph?;
        }
        // A stream without a launch gives no graph.
        self.graph.as_ref().ok_or(DriverError(sys::cudaError_enum::CUDA_ERROR_INVALID_VALUE))
    }
}

/// Compiles the kernels, each once.
fn steps(
    cuda: &Cuda,
    program: &Program,
    batch: usize,
    precision: Precision,
) -> Result<Vec<Step>, Error> {
    let texts =
        program.launches.iter().map(|launch| source::text(&*launch.kernel, batch, precision));
    let texts: Vec<source::Text> = texts.collect();
    // Of a grid, x may be large, y and z have 16 bits.
    let large = |[x, y, z]: [usize; 3]| x >= 1 << 31 || y >= 1 << 16 || z >= 1 << 16;
    if texts.iter().any(|text| large(text.groups)) {
        return Err(Error::Batch { device: cuda.info.name.clone(), batch });
    }
    let mut kernels: BTreeMap<&str, (&'static str, usize)> = BTreeMap::new();
    for (launch, text) in program.launches.iter().zip(&texts) {
        kernels.insert(&text.text, (launch.kernel.name(), text.shared));
    }
    // Side by side: the compiler takes a second for some.
    let compiled = thread::scope(|scope| {
        let work = kernels
            .iter()
            .map(|(&text, &(name, _))| scope.spawn(move || cuda.code(name, text, precision)));
        let work: Vec<_> = work.collect();
        work.into_iter().map(|thread| thread.join().expect("it panics nowhere")).collect::<Vec<_>>()
    });
    let mut functions: BTreeMap<&str, CudaFunction> = BTreeMap::new();
    for ((&text, &(name, shared)), code) in kernels.iter().zip(compiled) {
        functions.insert(text, cuda.function(name, code?, shared)?);
    }
    let steps = texts.iter().map(|text| {
        let [x, y, z] = text.groups.map(|n| n as u32);
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (text.threads as u32, 1, 1),
            shared_mem_bytes: text.shared as u32,
        };
        (functions[&text.text[..]].clone(), config)
    });
    Ok(steps.collect())
}

impl Session for Loaded<'_> {
    fn run(&mut self, inputs: &[f32]) -> Result<Vec<f32>, Error> {
        let ((input, size), (output, numbers)) = (self.program.input, self.program.output);
        assert_eq!(inputs.len(), self.batch * size, "run: numbers in a batch");
        let cuda = self.cuda;
        let stopped = |e| cuda.stopped(e);
        let given = encode(inputs, self.precision);
        let mut to = self.buffers[input].slice_mut(..given.len());
        cuda.stream.memcpy_htod(&given, &mut to).map_err(stopped)?;
        self.graph().and_then(CudaGraph::launch).map_err(stopped)?;
        let bytes = (self.batch * numbers * self.precision.width()).next_multiple_of(4);
        let result = self.buffers[output].slice(..bytes);
        let bytes = cuda.stream.clone_dtoh(&result).map_err(stopped)?;
        cuda.stream.synchronize().map_err(stopped)?;
        let mut results = decode(&bytes, self.precision);
        results.truncate(self.batch * numbers);
        Ok(results)
    }

    fn again(&mut self) -> Result<Option<f64>, Error> {
        let cuda = self.cuda;
        let stopped = |e| cuda.stopped(e);
        let start = Instant::now();
        self.graph().and_then(CudaGraph::launch).map_err(stopped)?;
        cuda.stream.synchronize().map_err(stopped)?;
        Ok(Some(start.elapsed().as_secs_f64()))
    }

    fn profile(&mut self) -> Result<Option<Vec<f64>>, Error> {
        let cuda = self.cuda;
        let stopped = |e| cuda.stopped(e);
        let event = || cuda.stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT));
        let mut events = vec![event().map_err(stopped)?];
        for at in 0..self.steps.len() {
            self.launch(at).map_err(stopped)?;
            events.push(event().map_err(stopped)?);
        }
        cuda.stream.synchronize().map_err(stopped)?;
        let seconds = events
            .windows(2)
            .map(|pair| Ok(1e-3 * f64::from(pair[0].elapsed_ms(&pair[1]).map_err(stopped)?)));
        seconds.collect::<Result<Vec<f64>, Error>>().map(Some)
    }
}
