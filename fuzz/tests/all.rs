//! Fuzz targets; README.md has the commands.

mod fuzz;

/// Whoever claims more than this ends the run: the largest honest claim is a picture's 384 MiB.
#[global_allocator]
static MEMORY: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, 3 << 29);
