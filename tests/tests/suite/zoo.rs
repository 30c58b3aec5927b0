//! Small architectures of every kind, with weights, calibration and images.

use sotto_crypto::{Seed, Stream};
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    format::MaxKind,
    private::{Options, Reveal, Tables},
};

/// A model with everything that an evaluation needs.
pub struct Specimen {
    pub arch: Arch,
    pub weights: Weights,
    pub images: Vec<Vec<f32>>,
    pub calibration: Calibration,
    pub private: Private,
}

/// `count` normalised images.
fn images(arch: &Arch, count: usize, stream: &mut Stream) -> Vec<Vec<f32>> {
    let size = arch.channels * arch.image * arch.image;
    let mut image = || {
        let light = stream.unit();
        let pixel = |_| ((stream.unit() + light) * 2.0 - 2.0) as f32;
        (0..size).map(pixel).collect()
    };
    (0..count).map(|_| image()).collect()
}

/// A calibrated model with `batch` images.
///
/// # Errors
/// When the model's ranges need rings of more than 64 bits.
pub fn try_specimen(
    arch: Arch,
    batch: usize,
    options: Options,
    seed: u64,
) -> Result<Specimen, sotto_models::Error> {
    let mut stream = Seed::from_bytes([0x5a; 32]).stream(seed);
    let weights = Weights::random(&arch, seed);
    let mut images = images(&arch, batch + 8, &mut stream);
    let calibration = Calibration::record(&arch, &weights, &images, |_| ());
    let private = Private::new(&arch, &calibration, batch, options)?;
    images.truncate(batch);
    Ok(Specimen { arch, weights, images, calibration, private })
}

/// A calibrated model whose ranges are known to fit.
pub fn specimen(arch: Arch, batch: usize, options: Options, seed: u64) -> Specimen {
    let name = describe(&arch);
    try_specimen(arch, batch, options, seed).unwrap_or_else(|e| panic!("{name} (seed {seed}): {e}"))
}

/// Sizes and kinds in one line, for a failing test.
pub fn describe(arch: &Arch) -> String {
    format!(
        "{} layers, {} heads, dim {}, mlp {}, {} tokens, {} classes, {:?}, {:?}",
        arch.layers,
        arch.heads,
        arch.dim,
        arch.mlp,
        arch.tokens(),
        arch.classes,
        arch.attention,
        arch.activation
    )
}

/// Every kind of attention and activation, both maxima, both results; batches of 1 and 3.
pub fn every_kind() -> Vec<(Arch, usize, Options)> {
    let small = || Arch::vit(1, 2, 8, 12, 8, 4, 3);
    let class = Options { reveal: Reveal::Class, ..Options::default() };
    let public = Options { max: MaxKind::Public, ..Options::default() };
    let mut mixed = Arch::vit(2, 3, 12, 16, 8, 4, 4);
    mixed.attention = vec![
        vec![Attention::Linear, Attention::Softmax, Attention::Relu],
        vec![Attention::Relu, Attention::Relu, Attention::Softmax],
    ];
    mixed.activation = vec![Activation::Relu, Activation::Gelu];
    vec![
        (small(), 1, class),
        (small(), 3, public),
        (small().with_attention(Attention::Relu).with_activation(Activation::Relu), 3, class),
        (small().with_attention(Attention::Linear).with_activation(Activation::None), 1, class),
        (mixed.clone(), 1, Options::default()),
        (
            mixed,
            3,
            Options {
                max: MaxKind::Public,
                reveal: Reveal::Class,
                tables: Tables::Rows,
                ..Options::default()
            },
        ),
        // Head dim 16 with 5 tokens: linear attention's other order.
        (Arch::vit(1, 1, 16, 16, 8, 4, 2).with_attention(Attention::Linear), 3, class),
    ]
}

/// Every tensor that some format asks for.
pub fn names() -> Vec<String> {
    let mut all = Vec::new();
    for (arch, batch, options) in every_kind() {
        let layers = specimen(arch, batch, options, 1).calibration.layers;
        all.extend(layers.into_iter().flat_map(|layer| layer.into_keys()));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Random sizes, kinds, batch and options; the same for the same seed.
pub fn random(seed: u64) -> (Arch, usize, Options) {
    let mut stream = Seed::from_bytes([0xa5; 32]).stream(seed);
    let mut up_to = |n: u64| (stream.word() % n) as usize;
    let layers = 1 + up_to(2);
    let heads = 1 + up_to(4);
    let dim = heads * (4 + 4 * up_to(3));
    let image = [8, 12][up_to(2)];
    let mut arch = Arch::vit(layers, heads, dim, 8 + up_to(17), image, 4, 2 + up_to(5));
    for kind in arch.attention.iter_mut().flatten() {
        *kind = Attention::ALL[up_to(3)];
    }
    for kind in &mut arch.activation {
        *kind = [Activation::Gelu, Activation::Relu, Activation::None][up_to(3)];
    }
    let options = Options {
        max: [MaxKind::Coarse, MaxKind::Public][up_to(2)],
        reveal: [Reveal::Logits, Reveal::Class][up_to(2)],
        tables: [Tables::Pieces, Tables::Rows][up_to(2)],
        ..Options::default()
    };
    (arch, [1, 3][up_to(2)], options)
}
