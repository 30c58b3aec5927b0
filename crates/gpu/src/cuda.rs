//! An NVIDIA GPU by CUDA C, compiled by NVRTC when a model is loaded, for exactly its shapes. Both libraries are looked for when
//! the program runs: it builds without CUDA, and says what is missing where a machine has not got them.

mod cache;
mod ceilings;
mod compile;
mod device;
mod session;
mod source;
#[cfg(test)]
mod tests;

pub use device::Cuda;
