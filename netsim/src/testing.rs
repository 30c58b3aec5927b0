//! Models for this crate's tests.

use sotto_crypto::Seed;
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    private::Options,
};

fn image() -> Vec<f32> {
    let mut stream = Seed::from_bytes([1; 32]).stream(0);
    (0..3 * 16 * 16).map(|_| (0..12).map(|_| stream.unit()).sum::<f64>() as f32 - 6.0).collect()
}

/// Two layers with heads of all kinds.
pub(crate) fn mixed() -> Private {
    let mut arch = Arch::vit(2, 4, 32, 64, 16, 4, 10);
    let kinds = Attention::ALL;
    arch.attention = (0..2).map(|l| (0..4).map(|h| kinds[(l + h) % 3]).collect()).collect();
    arch.activation = vec![Activation::Gelu, Activation::Relu];
    let weights = Weights::random(&arch, 7);
    let calibration = Calibration::record(&arch, &weights, &[image()], |_| ());
    Private::new(&arch, &calibration, 1, Options::default()).expect("a model with a format")
}
