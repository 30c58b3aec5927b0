//! Models for this crate's tests.

use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    private::Options,
};

/// Two layers with heads of all kinds.
pub(crate) fn mixed() -> Private {
    let mut arch = Arch::vit(2, 4, 32, 64, 16, 4, 10);
    let kinds = Attention::ALL;
    arch.attention = (0..2).map(|l| (0..4).map(|h| kinds[(l + h) % 3]).collect()).collect();
    arch.activation = vec![Activation::Gelu, Activation::Relu];
    let weights = Weights::random(&arch, 7);
    let image: Vec<f32> = (0..3 * 16 * 16).map(|i| (i % 17) as f32 / 5.0 - 1.7).collect();
    let calibration = Calibration::record(&arch, &weights, &[image], |_| ());
    Private::new(&arch, &calibration, 1, Options::default()).expect("a model with a format")
}
