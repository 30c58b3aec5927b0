//! A card, and a program on it.
#![allow(unsafe_code)]

use std::{collections::HashMap, sync::Arc, time::Instant};

use cudarc::{
    driver::{
        CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg,
        sys,
    },
    nvrtc::Ptx,
};

use super::{compile, source};
use crate::{
    Error, Program,
    device::{Ceilings, Device, Info, Precision, Session},
    kernel::{Kernel, Source},
    kernels::Product,
    numbers::{decode, encode},
};

/// What to do where no card answers.
const REMEDY: &str = "install NVIDIA's driver, or take --device gpu or cpu";

/// The first NVIDIA card of this machine.
#[derive(Debug)]
pub struct Cuda {
    info: Info,
    /// What NVRTC calls the card.
    architecture: String,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
}

impl Cuda {
    /// The first card.
    ///
    /// # Errors
    /// [`Error::Missing`] where driver, card or NVRTC is not there.
    pub fn open() -> Result<Self, Error> {
        let missing = |why: String| Error::Missing { what: "NVIDIA GPU", why, remedy: REMEDY };
        // SAFETY: loading the library runs its initialisers alone.
        if !unsafe { sys::is_culib_present() } {
            return Err(missing("the driver's library libcuda is not found".into()));
        }
        compile::present()?;
        let told = |e: DriverError| missing(format!("{e:?}"));
        let context = CudaContext::new(0).map_err(told)?;
        let (major, minor) = context.compute_capability().map_err(told)?;
        // The card's own features need the name's last letter.
        let own = if major == 9 { "a" } else { "" };
        let info = Info {
            device: "cuda",
            name: context.name().map_err(told)?,
            driver: "CUDA, NVRTC".into(),
            precisions: vec![Precision::F32, Precision::F16, Precision::Bf16],
            software: false,
        };
        let stream = context.default_stream();
        Ok(Self { info, architecture: format!("sm_{major}{minor}{own}"), context, stream })
    }

    fn stopped(&self, e: DriverError) -> Error {
        Error::Stopped { device: self.info.name.clone(), why: format!("{e:?}") }
    }

    fn function(
        &self,
        kernel: &'static str,
        text: &str,
        precision: Precision,
    ) -> Result<CudaFunction, Error> {
        let refused = |why| Error::Compile { kernel, device: self.info.name.clone(), why };
        let cubin = compile::cubin(text, precision, &self.architecture).map_err(refused)?;
        let module = self.context.load_module(Ptx::from_binary(cubin));
        let function = module.and_then(|module| module.load_function("run"));
        function.map_err(|e| refused(format!("{e:?}")))
    }
}

impl Device for Cuda {
    fn info(&self) -> &Info {
        &self.info
    }

    fn ceilings(&self) -> Result<Ceilings, Error> {
        const COPIED: usize = 64 << 20;
        const SIDE: usize = 4096;
        let stopped = |e| self.stopped(e);
        let from = self.stream.alloc_zeros::<u8>(COPIED).map_err(stopped)?;
        let mut to = self.stream.alloc_zeros::<u8>(COPIED).map_err(stopped)?;
        let mut copy = f64::INFINITY;
        for _ in 0..8 {
            self.stream.synchronize().map_err(stopped)?;
            let start = Instant::now();
            self.stream.memcpy_dtod(&from, &mut to).map_err(stopped)?;
            self.stream.synchronize().map_err(stopped)?;
            copy = copy.min(start.elapsed().as_secs_f64());
        }
        // The large product on plain cores, as the kernels here compute.
        let kernel = Product::plain(SIDE, SIDE, SIDE);
        let program = Program::alone(kernel);
        let mut session = self.load(&program, 1, Precision::F32)?;
        session.run(&vec![0.5; SIDE * SIDE])?;
        let seconds = session.profile()?.map_or(f64::INFINITY, |s| s[0]);
        let operations = kernel.operations() as f64 / seconds;
        Ok(Ceilings { bytes: 2.0 * COPIED as f64 / copy, operations })
    }

    fn load<'a>(
        &'a self,
        program: &'a Program,
        batch: usize,
        precision: Precision,
    ) -> Result<Box<dyn Session + 'a>, Error> {
        let stopped = |e| self.stopped(e);
        let needed = program.memory(batch, precision.width());
        let (room, _) = self.context.mem_get_info().map_err(stopped)?;
        if needed > room as u64 {
            return Err(Error::Memory {
                device: self.info.name.clone(),
                room: room as u64 >> 20,
                what: format!("this model at a batch of {batch}"),
                needed: needed >> 20,
            });
        }
        let constants = program
            .constants
            .iter()
            .map(|values| self.stream.clone_htod(&encode(values, precision)).map_err(stopped));
        let constants = constants.collect::<Result<Vec<_>, _>>()?;
        let buffers = program.buffers.iter().map(|&numbers| {
            let bytes = (numbers * batch * precision.width()).next_multiple_of(4);
            self.stream.alloc_zeros::<u8>(bytes).map_err(stopped)
        });
        let buffers = buffers.collect::<Result<Vec<_>, _>>()?;
        let mut functions: HashMap<String, CudaFunction> = HashMap::new();
        let mut steps = Vec::with_capacity(program.launches.len());
        for launch in &program.launches {
            let source::Text { text, groups, threads } = source::text(&*launch.kernel, batch);
            // Of a grid, x may be large, y and z have 16 bits.
            if groups[0] >= 1 << 31 || groups[1..].iter().any(|&n| n >= 1 << 16) {
                return Err(Error::Batch { device: self.info.name.clone(), batch });
            }
            let function = match functions.get(&text) {
                Some(function) => function.clone(),
                None => {
                    let function = self.function(launch.kernel.name(), &text, precision)?;
                    functions.insert(text, function.clone());
                    function
                }
            };
            let [x, y, z] = groups.map(|n| n as u32);
            let config = LaunchConfig {
                grid_dim: (x, y, z),
                block_dim: (threads as u32, 1, 1),
                shared_mem_bytes: 0,
            };
            steps.push((function, config));
        }
        Ok(Box::new(Loaded { cuda: self, program, batch, precision, constants, buffers, steps }))
    }
}

struct Loaded<'a> {
    cuda: &'a Cuda,
    program: &'a Program,
    batch: usize,
    precision: Precision,
    constants: Vec<CudaSlice<u8>>,
    buffers: Vec<CudaSlice<u8>>,
    steps: Vec<(CudaFunction, LaunchConfig)>,
}

impl Loaded<'_> {
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
        for at in 0..self.steps.len() {
            self.launch(at).map_err(stopped)?;
        }
        let bytes = cuda.stream.clone_dtoh(&self.buffers[output]).map_err(stopped)?;
        cuda.stream.synchronize().map_err(stopped)?;
        let mut results = decode(&bytes, self.precision);
        results.truncate(self.batch * numbers);
        Ok(results)
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
