//! The devices by name.

#[cfg(feature = "wgpu")]
use std::sync::OnceLock;

use burn::tensor::Device;

use crate::Error;

/// The device called `name`: `cpu` needs nothing installed; `libtorch` (the same processor, faster) and `cuda`
/// (the first GPU of NVIDIA) the feature `libtorch`; `gpu` (the best of any other maker) the feature `wgpu`.
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
        #[cfg(feature = "wgpu")]
        "gpu" => gpu().map(|(device, _)| device).map_err(|e| {
            let needed = "it needs a driver for Vulkan, Metal or DirectX 12";
            Error::Usage(format!("device gpu: {e}; {needed}"))
        }),
        other => {
            let feature = if other == "gpu" { "wgpu" } else { "libtorch" };
            Err(Error::Usage(format!(
                "device {other} is not in this build: build with --features {feature}"
            )))
        }
    }
}

/// The GPU and what its driver calls it. burn starts it once in a process.
#[cfg(feature = "wgpu")]
fn gpu() -> Result<(Device, String), String> {
    static GPU: OnceLock<Result<(Device, String), String>> = OnceLock::new();
    let start = || {
        let (device, setup) =
            Device::wgpu_options().init_with_setup().map_err(|e| e.to_string())?;
        let info = setup.adapter.get_info();
        Ok((device, format!("{} ({})", info.name, info.backend)))
    };
    GPU.get_or_init(start).clone()
}

/// What a report calls the device called `name`: a GPU by its driver's name.
pub fn describe(name: &str) -> String {
    match name {
        #[cfg(feature = "wgpu")]
        "gpu" => gpu().map_or_else(|e| e, |(_, name)| name),
        other => other.to_owned(),
    }
}

/// The devices that this build and this machine have.
#[cfg(test)]
pub(crate) fn all() -> Vec<Device> {
    let devices = ["cpu", "libtorch", "gpu"].iter().filter_map(|name| find(name).ok());
    let devices: Vec<Device> = devices.collect();
    assert!(!devices.is_empty());
    devices
}
