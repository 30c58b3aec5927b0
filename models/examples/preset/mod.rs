//! What the examples run: a preset by its name on the command line, with random weights, on pictures of noise.

use sotto_crypto::Seed;
use sotto_models::{Arch, Calibration, Private, Weights, arch::Attention, private::Options};

/// A traced model and what it is run on.
pub struct Preset {
    pub arch: Arch,
    pub weights: Weights,
    pub private: Private,
    pub images: Vec<Vec<f32>>,
    /// Of all that the example draws.
    pub seed: Seed,
}

impl Preset {
    /// `small`, `cifar` or `tiny`, and the kind of attention: `softmax`, `relu` or `linear`.
    pub fn of_arguments() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let arch = match args.get(1).map(String::as_str) {
            Some("tiny") => Arch::vit_tiny(),
            Some("small") => Arch::vit(2, 4, 64, 128, 32, 4, 10),
            _ => Arch::vit_cifar(),
        };
        let arch = match args.get(2).map(String::as_str) {
            Some("relu") => arch.with_attention(Attention::Relu),
            Some("linear") => arch.with_attention(Attention::Linear),
            _ => arch,
        };
        let weights = Weights::random(&arch, 7);
        let seed = Seed::from_bytes([1; 32]);
        let mut stream = seed.stream(99);
        let size = arch.channels * arch.image * arch.image;
        let mut normal = || (0..12).map(|_| stream.unit()).sum::<f64>() as f32 - 6.0;
        let images: Vec<Vec<f32>> = (0..8).map(|_| (0..size).map(|_| normal()).collect()).collect();
        let calibration = Calibration::record(&arch, &weights, &images, |_| ());
        let private = Private::new(&arch, &calibration, 1, Options::default()).expect("a format");
        Self { arch, weights, private, images, seed }
    }
}
