//! The plaintext reference: a model becomes a static list of launches ([`Program`]), which a device runs, this processor or a
//! GPU ([`device`]). Each launch knows its formula, its floating-point operations and the fewest bytes it must move, so that
//! measured times stand beside what the device allows.
//!
//! The float reference of `sotto-models` says what is right; this crate says how fast plaintext is, and how exact where numbers
//! are shorter.
//!
//! # Example
//! ```
//! use sotto_gpu::{Precision, devices, program};
//! use sotto_models::{Arch, Model, Weights};
//!
//! let arch = Arch::vit(2, 4, 32, 48, 16, 4, 5);
//! let (model, weights) = (Model::from(&arch), Weights::random(&arch, 1));
//! let program = program(&model, &weights, model.tokens());
//! let cpu = devices::open("cpu")?;
//! let logits = cpu.load(&program, 1, Precision::F32)?.run(&vec![0.5; 3 * 16 * 16])?;
//! assert_eq!(logits.len(), 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
pub mod device;
pub mod devices;
mod error;
#[cfg(feature = "wgpu")]
mod gpu;
mod host;
pub mod kernel;
pub mod kernels;
pub mod measure;
mod model;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod numbers;
mod precision;
mod program;
mod scores;
#[cfg(test)]
mod testing;

pub use cpu::Cpu;
#[cfg(feature = "cuda")]
pub use cuda::Cuda;
pub use device::{Device, Info};
pub use error::Error;
#[cfg(feature = "wgpu")]
pub use gpu::Gpu;
pub use model::{program, result};
pub use precision::Precision;
pub use program::Program;
pub use scores::Scores;
