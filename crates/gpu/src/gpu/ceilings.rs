//! What a GPU reaches: a copy, and chains of multiply-adds.

use std::time::Instant;

use super::Gpu;
use crate::{Error, device::Ceilings};

const COPIED: u64 = 64 << 20;
/// Of copies and of chains, the best counts.
const TIMES: usize = 4;
const GROUPS: u32 = 1024;
const STEPS: u32 = 512;
/// An invocation's multiply-adds of a step: eight chains of four numbers, which hide each other's delay.
const CHAINS: u32 = 32;

const CHAIN: &str = "
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = vec4(0.999 + f32(id.x) * 1e-9);
    let b = vec4(1e-3);
    var x: array<vec4<f32>, 8>;
    for (var i = 0u; i < 512u; i++) {
        x[0] = fma(x[0], a, b); x[1] = fma(x[1], a, b); x[2] = fma(x[2], a, b); x[3] = fma(x[3], a, b);
        x[4] = fma(x[4], a, b); x[5] = fma(x[5], a, b); x[6] = fma(x[6], a, b); x[7] = fma(x[7], a, b);
    }
    let sum = x[0] + x[1] + x[2] + x[3] + x[4] + x[5] + x[6] + x[7];
    result[id.x] = sum.x + sum.y + sum.z + sum.w;
}";

pub(super) fn measure(gpu: &Gpu) -> Result<Ceilings, Error> {
    use wgpu::BufferUsages as U;
    let size = COPIED.min(gpu.limits.max_buffer_size);
    let buffer = |size| {
        let usage = U::STORAGE | U::COPY_SRC | U::COPY_DST;
        gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let (from, to) = (buffer(size), buffer(size));
    let copy = best(gpu, |encoder| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, size))?;

    let invocations = 64 * GROUPS;
    let pipeline = gpu.pipeline("ceiling", CHAIN.into())?;
    let result = buffer(4 * u64::from(invocations));
    let bind = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: result.as_entire_binding() }],
    });
    let chain = best(gpu, |encoder| {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind, &[]);
        pass.dispatch_workgroups(GROUPS, 1, 1);
    })?;
    let operations = 2.0 * f64::from(invocations) * f64::from(STEPS * CHAINS);
    Ok(Ceilings { bytes: 2.0 * size as f64 / copy, operations: operations / chain })
}

/// The best seconds of what is recorded, from its submission to its end.
fn best(gpu: &Gpu, record: impl Fn(&mut wgpu::CommandEncoder)) -> Result<f64, Error> {
    let mut best = f64::INFINITY;
    for _ in 0..TIMES {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        record(&mut encoder);
        let commands = encoder.finish();
        let start = Instant::now();
        gpu.queue.submit([commands]);
        gpu.wait()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
