//! Training of sottovoce's vision transformers and search of architectures: pictures in, `arch.toml` and
//! `weights.safetensors` out, which the private inference runs as they are.

// burn marks its libtorch backend deprecated in favour of CubeCL's; on a CPU it is the fastest by far.
#![cfg_attr(feature = "libtorch", expect(deprecated))]

pub mod attention;
pub mod augment;
pub mod average;
pub mod blend;
pub mod calibrate;
pub mod checkpoint;
pub mod config;
pub mod curve;
pub mod data;
pub mod device;
pub mod distil;
pub mod distort;
pub mod engine;
pub mod error;
pub mod feed;
pub mod fused;
pub mod metrics;
pub mod optim;
mod options;
pub mod presets;
pub mod recipe;
pub mod right;
pub mod search;
pub mod train;
pub mod vit;
pub mod weights;
mod workers;

pub use error::Error;
