//! The demo model, which programs carry in themselves.

/// The description.
pub const ARCH: &str = include_str!("../demo/arch.toml");
/// The weights.
pub const WEIGHTS: &[u8] = include_bytes!("../demo/weights.safetensors");
/// The ranges.
pub const CALIBRATION: &str = include_str!("../demo/calibration.toml");
/// CIFAR-10 test images in the official binary format.
pub const IMAGES: &[u8] = include_bytes!("../demo/images.bin");
