//! A program on a GPU: its weights and activations in buffers, its kernels compiled, its launches recorded anew for each run.

use std::time::Instant;

use pollster::block_on;
use wgpu::{BufferUsages as Usage, ErrorFilter, Features};

use super::{Gpu, source};
use crate::{
    Error, Program,
    device::Session,
    kernel::Source,
    numbers::{decode, encode},
    precision::Precision,
};

/// Most queries in a set, of wgpu.
const QUERIES: usize = 4096;

struct Step {
    pipeline: wgpu::ComputePipeline,
    bind: wgpu::BindGroup,
    groups: [u32; 3],
}

pub(super) struct Loaded<'a> {
    gpu: &'a Gpu,
    program: &'a Program,
    batch: usize,
    precision: Precision,
    buffers: Vec<wgpu::Buffer>,
    steps: Vec<Step>,
}

impl<'a> Loaded<'a> {
    pub(super) fn new(
        gpu: &'a Gpu,
        program: &'a Program,
        batch: usize,
        precision: Precision,
    ) -> Result<Self, Error> {
        let scope = gpu.device.push_error_scope(ErrorFilter::OutOfMemory);
        let made = buffers(gpu, program, batch, precision);
        let lack = block_on(scope.pop());
        let (constants, buffers) = made?;
        if lack.is_some() {
            let needed = program.memory(batch, precision.width());
            return Err(memory(gpu, "this model at this batch", needed, needed - 1));
        }
        let mut steps = Vec::with_capacity(program.launches.len());
        for launch in &program.launches {
            let (text, groups) = source::text(&*launch.kernel, batch, precision);
            let most = gpu.limits.max_compute_workgroups_per_dimension as usize;
            if groups.iter().any(|&n| n > most) {
                return Err(Error::Batch { device: gpu.info.name.clone(), batch });
            }
            let pipeline = gpu.pipeline(launch.kernel.name(), text)?;
            let read = launch.inputs.iter().map(|source| match *source {
                Source::Constant(at) => &constants[at],
                Source::Buffer(at) => &buffers[at],
            });
            let bound = (0..).zip(read.chain([&buffers[launch.output]]));
            let entries = bound.map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            });
            let bind = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries.collect::<Vec<_>>(),
            });
            steps.push(Step { pipeline, bind, groups: groups.map(|n| n as u32) });
        }
        gpu.wait()?;
        Ok(Self { gpu, program, batch, precision, buffers, steps })
    }

    /// Every launch.
    fn submit(&self) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for Step { pipeline, bind, groups: [x, y, z] } in &self.steps {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, bind, &[]);
                pass.dispatch_workgroups(*x, *y, *z);
            }
        }
        self.gpu.queue.submit([encoder.finish()]);
    }

    fn bytes(&self, numbers: usize) -> u64 {
        (numbers * self.precision.width()).next_multiple_of(4) as u64
    }
}

fn memory(gpu: &Gpu, what: &str, needed: u64, room: u64) -> Error {
    let [needed, room] = [needed.div_ceil(1 << 20), room >> 20];
    Error::Memory { device: gpu.info.name.clone(), room, what: what.into(), needed }
}

/// The constants' buffers, filled, and the activations'.
fn buffers(
    gpu: &Gpu,
    program: &Program,
    batch: usize,
    precision: Precision,
) -> Result<(Vec<wgpu::Buffer>, Vec<wgpu::Buffer>), Error> {
    let most = gpu.limits.max_buffer_size.min(gpu.limits.max_storage_buffer_binding_size);
    let make = |numbers: usize| {
        let size = (numbers * precision.width()).next_multiple_of(4) as u64;
        if size > most {
            return Err(memory(gpu, "one of the tensors", size, most));
        }
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let descriptor =
            wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        Ok(gpu.device.create_buffer(&descriptor))
    };
    let buffers = program.buffers.iter().map(|&numbers| make(numbers * batch));
    let buffers = buffers.collect::<Result<Vec<_>, _>>()?;
    let constants = program.constants.iter().map(|values| {
        let buffer = make(values.len())?;
        gpu.queue.write_buffer(&buffer, 0, &encode(values, precision));
        Ok(buffer)
    });
    Ok((constants.collect::<Result<Vec<_>, _>>()?, buffers))
}

impl Session for Loaded<'_> {
    fn run(&mut self, inputs: &[f32]) -> Result<Vec<f32>, Error> {
        let (input, size) = self.program.input;
        assert_eq!(inputs.len(), self.batch * size, "run: numbers in a batch");
        self.gpu.queue.write_buffer(&self.buffers[input], 0, &encode(inputs, self.precision));
        self.submit();
        let (output, numbers) = self.program.output;
        let bytes = self.gpu.read(&self.buffers[output], self.bytes(self.batch * numbers))?;
        let mut results = decode(&bytes, self.precision);
        results.truncate(self.batch * numbers);
        Ok(results)
    }

    fn again(&mut self) -> Result<Option<f64>, Error> {
        let start = Instant::now();
        self.submit();
        self.gpu.wait()?;
        Ok(Some(start.elapsed().as_secs_f64()))
    }

    /// The activations that the last run left are read again, whatever they are: only times matter.
    fn profile(&mut self) -> Result<Option<Vec<f64>>, Error> {
        let (device, count) = (&self.gpu.device, 2 * self.steps.len());
        if !device.features().contains(Features::TIMESTAMP_QUERY) || count > QUERIES {
            return Ok(None);
        }
        let set = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: count as u32,
        });
        let size = 8 * count as u64;
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: Usage::QUERY_RESOLVE | Usage::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        for (at, Step { pipeline, bind, groups: [x, y, z] }) in (0u32..).zip(&self.steps) {
            let writes = wgpu::ComputePassTimestampWrites {
                query_set: &set,
                beginning_of_pass_write_index: Some(2 * at),
                end_of_pass_write_index: Some(2 * at + 1),
            };
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(writes),
            });
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind, &[]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
        encoder.resolve_query_set(&set, 0..count as u32, &resolved, 0);
        self.gpu.queue.submit([encoder.finish()]);
        let bytes = self.gpu.read(&resolved, size)?;
        let ticks = bytes.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("eight")));
        let ticks: Vec<u64> = ticks.collect();
        let period = 1e-9 * f64::from(self.gpu.queue.get_timestamp_period());
        let seconds = |pair: &[u64]| pair[1].saturating_sub(pair[0]) as f64 * period;
        Ok(Some(ticks.chunks_exact(2).map(seconds).collect()))
    }
}
