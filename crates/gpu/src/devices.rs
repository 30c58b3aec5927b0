//! Which devices there are.

use crate::{
    cpu::Cpu,
    device::{Device, Info},
    error::Error,
};

/// What a device may be called.
pub const NAMES: [&str; 3] = ["cpu", "gpu", "cuda"];

/// The device of a name.
///
/// # Errors
/// [`Error::Unknown`], [`Error::NotBuilt`], [`Error::Missing`].
pub fn open(name: &str) -> Result<Box<dyn Device>, Error> {
    match name {
        "cpu" => Ok(Box::new(Cpu::new())),
        #[cfg(feature = "wgpu")]
        "gpu" => Ok(Box::new(crate::gpu::Gpu::open()?)),
        #[cfg(not(feature = "wgpu"))]
        "gpu" => Err(Error::NotBuilt { device: "gpu", feature: "gpu" }),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Box::new(crate::cuda::Cuda::open()?)),
        #[cfg(not(feature = "cuda"))]
        "cuda" => Err(Error::NotBuilt { device: "cuda", feature: "cuda" }),
        other => Err(Error::Unknown { name: other.to_owned(), known: NAMES.join(", ") }),
    }
}

/// A device's name, and what it is or why it is not there.
pub type Named = (&'static str, Result<Info, Error>);

/// Every device.
pub fn list() -> Vec<Named> {
    NAMES.map(|name| (name, open(name).map(|device| device.info().clone()))).into()
}
