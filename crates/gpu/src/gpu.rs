//! A GPU by WGSL on Vulkan, through wgpu. A machine without a GPU can have one played by its processor (the driver lavapipe),
//! on which the tests run.

mod ceilings;
mod session;
mod source;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use pollster::block_on;
use wgpu::{DeviceType, ErrorFilter, Features};

use crate::{
    Error, Program,
    device::{Ceilings, Device, Info, Session},
    precision::Precision,
};

/// What to do where no adapter answers.
const REMEDY: &str = "install the graphics driver with its Vulkan part (on Debian mesa-vulkan-drivers has one that needs no GPU), \
                      or take --device cpu";

/// A GPU.
#[derive(Debug)]
pub struct Gpu {
    info: Info,
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    /// What was compiled, by its text: models that differ in a few layers share the kernels of all others.
    pipelines: Mutex<HashMap<String, wgpu::ComputePipeline>>,
    /// What went wrong where nobody waited for it.
    wrong: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// The first adapter of this machine, the strongest one where there are several.
    ///
    /// # Errors
    /// [`Error::Missing`] where none answers.
    pub fn open() -> Result<Self, Error> {
        let missing = |why: String| Error::Missing { what: "GPU", why, remedy: REMEDY };
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = block_on(wgpu::Instance::new(descriptor).request_adapter(&options))
            .map_err(|e| missing(e.to_string().replace('\n', " ")))?;
        let (about, limits) = (adapter.get_info(), adapter.limits());
        let wanted = Features::SHADER_F16 | Features::TIMESTAMP_QUERY;
        let (device, queue) = block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() & wanted,
            required_limits: limits.clone(),
            ..Default::default()
        }))
        .map_err(|e| missing(e.to_string()))?;
        let wrong = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&wrong);
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            // Whoever holds the lock does nothing that can panic.
            if let Ok(mut wrong) = kept.lock() {
                wrong.get_or_insert(e.to_string());
            }
        }));
        let mut precisions = vec![Precision::F32];
        if device.features().contains(Features::SHADER_F16) {
            precisions.push(Precision::F16);
        }
        let info = Info {
            device: "gpu",
            name: about.name,
            driver: format!("{:?}, {} {}", about.backend, about.driver, about.driver_info),
            precisions,
            software: about.device_type == DeviceType::Cpu,
        };
        let pipelines = Mutex::default();
        Ok(Self { info, device, queue, limits, pipelines, wrong })
    }

    fn stopped(&self, why: impl ToString) -> Error {
        Error::Stopped { device: self.info.name.clone(), why: why.to_string() }
    }

    /// Waits until all that was submitted is done.
    fn wait(&self) -> Result<(), Error> {
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| self.stopped(e))?;
        let wrong = self.wrong.lock().map_err(|e| self.stopped(e))?.take();
        wrong.map_or(Ok(()), |why| Err(self.stopped(why)))
    }

    /// The pipeline of a kernel, compiled where it is new.
    fn pipeline(&self, kernel: &'static str, text: String) -> Result<wgpu::ComputePipeline, Error> {
        let mut known = self.pipelines.lock().map_err(|e| self.stopped(e))?;
        if let Some(pipeline) = known.get(&text) {
            return Ok(pipeline.clone());
        }
        let made = self.compile(kernel, &text)?;
        known.insert(text, made.clone());
        Ok(made)
    }

    fn compile(&self, kernel: &'static str, text: &str) -> Result<wgpu::ComputePipeline, Error> {
        let scopes = [ErrorFilter::Internal, ErrorFilter::Validation]
            .map(|filter| self.device.push_error_scope(filter));
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(kernel),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        // The first that was pushed is the last to be popped.
        let wrong = scopes.into_iter().rev().filter_map(|scope| block_on(scope.pop()));
        match wrong.last() {
            Some(e) => {
                let (device, why) = (self.info.name.clone(), e.to_string().replace('\n', " "));
                Err(Error::Compile { kernel, device, why })
            }
            None => Ok(pipeline),
        }
    }

    /// The bytes of a buffer that can be copied.
    fn read(&self, from: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>, Error> {
        use wgpu::BufferUsages as U;
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: U::COPY_DST | U::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, 0, &staging, 0, bytes);
        self.queue.submit([encoder.finish()]);
        let slice = staging.slice(..);
        // What is wrong with the mapping is told by the range below.
        slice.map_async(wgpu::MapMode::Read, |_| ());
        self.wait()?;
        Ok(slice.get_mapped_range().map_err(|e| self.stopped(e))?.to_vec())
    }
}

impl Device for Gpu {
    fn info(&self) -> &Info {
        &self.info
    }

    fn ceilings(&self, _: Precision) -> Result<Ceilings, Error> {
        ceilings::measure(self)
    }

    fn load<'a>(
        &'a self,
        program: &'a Program,
        batch: usize,
        precision: Precision,
    ) -> Result<Box<dyn Session + 'a>, Error> {
        self.info.supports(precision)?;
        Ok(Box::new(session::Loaded::new(self, program, batch, precision)?))
    }
}

#[cfg(test)]
mod tests {
    use sotto_models::{Arch, Model, Weights, arch::Attention};

    use super::*;

    #[test]
    fn models_that_differ_in_a_layer_share_the_kernels_of_the_others() {
        let gpu = Gpu::open().unwrap_or_else(|e| panic!("{e}"));
        let results = |arch: &Arch, device: &dyn Device| {
            let (model, weights) = (Model::from(arch), Weights::random(arch, 1));
            let program = crate::program(&model, &weights, model.tokens());
            let mut session = device.load(&program, 2, Precision::F32).unwrap();
            session.run(&vec![0.5; 2 * program.input.1]).unwrap()
        };
        let known = || gpu.pipelines.lock().unwrap().len();
        let base = Arch::vit(2, 2, 8, 16, 16, 8, 5);
        let mut other = base.clone();
        other.attention[1] = vec![Attention::Linear, Attention::Softmax];
        let mut counts = Vec::new();
        for arch in [&base, &other, &base, &other] {
            let (found, expected) = (results(arch, &gpu), results(arch, &crate::Cpu::new()));
            let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near, "{found:?} for {expected:?}");
            counts.push(known());
        }
        assert!(counts[0] < counts[1] && counts[1] < 2 * counts[0], "{counts:?}");
        assert_eq!(counts[1..], [counts[1]; 3]);
    }
}
