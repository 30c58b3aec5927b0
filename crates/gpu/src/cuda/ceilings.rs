//! What a card reaches: a copy, a large product on plain cores, and chains of products on tensor cores.
#![allow(unsafe_code)]

use cudarc::driver::{LaunchConfig, PushKernelArg, sys};

use super::Cuda;
use crate::{
    Error, Program,
    device::{Ceilings, Device},
    kernel::Kernel,
    kernels::Product,
    precision::Precision,
};

/// Bytes that are copied: several times what a card's cache holds.
const COPIED: usize = 512 << 20;
/// Of several tries, the best counts.
const TRIES: usize = 5;
/// Side of the large product.
const SIDE: usize = 4096;
/// Blocks of chains, their threads, and the products of a chain.
const BLOCKS: usize = 132 * 16;
const THREADS: usize = 128;
const STEPS: usize = 1024;

pub(super) fn measure(cuda: &Cuda, precision: Precision) -> Result<Ceilings, Error> {
    let operations = match precision {
        Precision::F32 => plain(cuda)?,
        _ => tensor(cuda, precision)?,
    };
    Ok(Ceilings { bytes: copy(cuda)?, operations })
}

/// The fewest seconds of several tries, by the card's clock.
fn best(
    cuda: &Cuda,
    mut of: impl FnMut() -> Result<(), cudarc::driver::DriverError>,
) -> Result<f64, Error> {
    let stopped = |e| cuda.stopped(e);
    let event =
        || cuda.stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT)).map_err(stopped);
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        let start = event()?;
        of().map_err(stopped)?;
        let milliseconds = start.elapsed_ms(&event()?).map_err(stopped)?;
        least = least.min(1e-3 * f64::from(milliseconds));
    }
    Ok(least)
}

fn copy(cuda: &Cuda) -> Result<f64, Error> {
    let stopped = |e| cuda.stopped(e);
    let (room, _) = cuda.context.mem_get_info().map_err(stopped)?;
    let bytes = COPIED.min(room / 4);
    let from = cuda.stream.alloc_zeros::<u8>(bytes).map_err(stopped)?;
    let mut to = cuda.stream.alloc_zeros::<u8>(bytes).map_err(stopped)?;
    let seconds = best(cuda, || cuda.stream.memcpy_dtod(&from, &mut to))?;
    Ok(2.0 * bytes as f64 / seconds)
}

fn plain(cuda: &Cuda) -> Result<f64, Error> {
    let kernel = Product::plain(SIDE, SIDE, SIDE);
    let program = Program::alone(kernel);
    let mut session = cuda.load(&program, 1, Precision::F32)?;
    session.run(&vec![0.5; SIDE * SIDE])?;
    let seconds = session.profile()?.map_or(f64::INFINITY, |s| s[0]);
    Ok(kernel.operations() as f64 / seconds)
}

fn tensor(cuda: &Cuda, precision: Precision) -> Result<f64, Error> {
    let name = "tensor chains";
    let function = cuda.function(name, cuda.code(name, &text(), precision)?, 0)?;
    let result = cuda.stream.alloc_zeros::<u8>(2 * BLOCKS * THREADS);
    let result = result.map_err(|e| cuda.stopped(e))?;
    let config = LaunchConfig {
        grid_dim: (BLOCKS as u32, 1, 1),
        block_dim: (THREADS as u32, 1, 1),
        shared_mem_bytes: 0,
    };
    let seconds = best(cuda, || {
        let mut arguments = cuda.stream.launch_builder(&function);
        arguments.arg(&result);
        // SAFETY: the kernel writes a half for each thread, which the buffer holds.
        unsafe { arguments.launch(config) }.map(drop)
    })?;
    let products = BLOCKS * THREADS / 32 * STEPS * 8;
    Ok((products * 2 * 16 * 8 * 16) as f64 / seconds)
}

/// The chains.
pub(super) fn text() -> String {
    format!("constexpr u32 STEPS = {STEPS}u;\n{}", include_str!("ceilings.cu"))
}
