//! The devices by name.

use burn::tensor::Device;

use crate::Error;

/// The device called `name`: `cpu` needs nothing installed, `libtorch` the feature of that name.
///
/// # Errors
/// [`Error::Usage`] for `libtorch` in a build without it.
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
        other => Err(Error::Usage(format!(
            "device {other} is not in this build: build with --features libtorch"
        ))),
    }
}
