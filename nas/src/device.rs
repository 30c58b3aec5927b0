//! The devices by name.

use burn::tensor::Device;

use crate::Error;

/// The device called `name`: `cpu` needs nothing installed, `libtorch` (the same processor, faster)
/// and `cuda` (the first GPU) the feature `libtorch`.
///
/// # Errors
/// [`Error::Usage`] for a device that this build or this machine does not have.
pub fn find(name: &str) -> Result<Device, Error> {
    match name {
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "libtorch")]
        "libtorch" => {
            // The engine has threads of its own, one micro-batch each; nested ones would wait for
            // one another at every operation.
            tch::set_num_threads(1);
            Ok(Device::libtorch())
        }
        #[cfg(feature = "libtorch")]
        "cuda" if tch::Cuda::is_available() => Ok(Device::libtorch_cuda(0)),
        #[cfg(feature = "libtorch")]
        "cuda" => Err(Error::Usage(
            "device cuda: libtorch sees no GPU; it must be its CUDA build, with a driver".into(),
        )),
        other => Err(Error::Usage(format!(
            "device {other} is not in this build: build with --features libtorch"
        ))),
    }
}
