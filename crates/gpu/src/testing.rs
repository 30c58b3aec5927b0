//! Programs of every kernel, kind and odd shape, and how they are held against their definitions.

pub(crate) mod kinds;

use sotto_models::{arch::Activation, model::Pixels};

use crate::{
    Device, Precision, Program,
    kernels::{Attention, Embed, Heads, LinearAttention, Mean, Norm, Product},
    program::Writer,
    scores::Scores,
};

/// Normal numbers that follow from the seed.
pub(crate) fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut unit = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    let mut one = || ((-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos()) as f32;
    (0..count).map(|_| one()).collect()
}

/// The devices of this build, opened once for each thread: drivers have so many places. An NVIDIA card need not be there; what it would have shown is told.
pub(crate) fn devices() -> &'static [Box<dyn Device>] {
    thread_local! {
        static OPENED: &'static [Box<dyn Device>] = Vec::leak(opened());
    }
    OPENED.with(|devices| *devices)
}

fn opened() -> Vec<Box<dyn Device>> {
    let names = if cfg!(feature = "wgpu") { &["cpu", "gpu"][..] } else { &["cpu"] };
    let open = |name: &&str| crate::devices::open(name).unwrap_or_else(|e| panic!("{e}"));
    let mut all: Vec<_> = names.iter().map(open).collect();
    if cfg!(feature = "cuda") {
        match crate::devices::open("cuda") {
            Ok(cuda) => all.push(cuda),
            Err(e) => println!("not run on a card: {e}"),
        }
    }
    all
}

/// Largest error of a result beside its definition, normwise: of the difference's length and the definition's.
pub(crate) fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 2e-6,
        Precision::F16 => 1.5e-3,
        Precision::Bf16 => 8e-3,
    }
}

/// Numbers as a device stores them.
pub(crate) fn stored(values: &[f32], precision: Precision) -> Vec<f32> {
    let of: fn(f32) -> f32 = match precision {
        Precision::F32 => |x| x,
        Precision::F16 => |x| half::f16::from_f32(x).to_f32(),
        Precision::Bf16 => |x| half::bf16::from_f32(x).to_f32(),
    };
    values.iter().map(|&x| of(x)).collect()
}

/// What a number may be off by, however small it is: half of the smallest that there is.
fn least(precision: Precision) -> f64 {
    match precision {
        Precision::F16 => f64::from(half::f16::from_bits(1)) / 2.0,
        Precision::F32 | Precision::Bf16 => f64::from(f32::from_bits(1)) / 2.0,
    }
}

/// Holds results in a format against a program's definition, normwise.
pub(crate) fn close(
    what: &str,
    program: &Program,
    (precision, tolerance): (Precision, f64),
    inputs: &[f32],
    got: &[f32],
) {
    let each = inputs.chunks_exact(program.input.1);
    let want: Vec<f64> = each.flat_map(|input| program.definition(input)).collect();
    assert_eq!(got.len(), want.len(), "{what}");
    let length = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let off = length(&mut got.iter().zip(&want).map(|(&g, &w)| f64::from(g) - w));
    let size = length(&mut want.iter().copied());
    let most = tolerance * size + least(precision) * (want.len() as f64).sqrt();
    // False for a NaN, too.
    assert!(off <= most, "{what} in {}: off by {:.1e}", precision.name(), off / size);
}

/// Runs a program on every device in every format, with its weights as they are stored there, for a batch of inputs that `inputs`
/// gives; `check` gets what it is, the inputs as they are stored, and the results.
pub(crate) fn everywhere(
    what: &str,
    program: &mut Program,
    batch: usize,
    inputs: &[f32],
    check: impl Fn(&str, Precision, &Program, &[f32], &[f32]),
) {
    let exact = program.constants.clone();
    for (device, precision) in devices().iter().flat_map(|device| {
        device.info().precisions.iter().map(move |&precision| (device, precision))
    }) {
        program.constants = exact.iter().map(|values| stored(values, precision)).collect();
        let inputs = stored(inputs, precision);
        let mut session =
            (device.load(program, batch, precision)).unwrap_or_else(|e| panic!("{what}: {e}"));
        // What a run leaves must not help the next one: numbers that nobody wrote are NaN.
        session.run(&vec![f32::NAN; inputs.len()]).expect("the device works");
        let got = session.run(&inputs).expect("the device works");
        let what = format!("{what}, batch {batch}, on {}", device.info().device);
        check(&what, precision, program, &inputs, &got);
        let seconds = session.profile().expect("the device works");
        assert!(seconds.is_none_or(|s| s.len() == program.launches.len()), "{what}");
    }
    program.constants = exact;
}

/// Holds a program against its definition on every device, in every format, for these batches.
pub(crate) fn hold(what: &str, program: &mut Program, batches: &[usize]) {
    let seed = what.bytes().fold(7, |seed: u64, b| seed.wrapping_mul(31).wrapping_add(b.into()));
    for &batch in batches {
        let inputs = normal(batch * program.input.1, seed);
        everywhere(what, program, batch, &inputs, |what, precision, program, inputs, got| {
            close(what, program, (precision, tolerance(precision)), inputs, got);
        });
    }
}

/// Those of the models.
pub(crate) const ACTIVATIONS: [Activation; 7] = [
    Activation::Gelu,
    Activation::Relu,
    Activation::None,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Silu,
    Activation::Tanh,
];

pub(crate) fn products() -> Vec<(String, Program)> {
    let mut all = Vec::new();
    // The last ones come to every tile on tensor cores, filled in part: 128 x 128, 128 x 64, 64 x 64, 32 x 32.
    for (rows, inputs, outputs) in [
        (1, 1, 1),
        (64, 16, 64),
        (3, 130, 67),
        (65, 64, 256),
        (100, 72, 192),
        (70, 200, 64),
        (5, 264, 40),
    ] {
        let kernel = Product { bias: rows != 64, ..Product::plain(rows, inputs, outputs) };
        all.push((format!("product {rows} {inputs} {outputs}"), Program::alone(kernel)));
    }
    for activation in ACTIVATIONS {
        let kernel = Product { bias: true, activation, ..Product::plain(5, 33, 70) };
        all.push((format!("product, {}", activation.name()), Program::alone(kernel)));
    }
    all
}

/// A product whose residual is another's result.
pub(crate) fn residual() -> Program {
    let (rows, inputs, outputs) = (9, 20, 70);
    let (mut writer, input) = Writer::new(rows * inputs);
    let [w, v] = [1, 2].map(|seed| writer.constant(&normal(outputs * inputs, seed)));
    let bias = writer.constant(&normal(outputs, 3));
    let first = writer.launch(Product::plain(rows, inputs, outputs), &[input, w]);
    let activation = Activation::Relu;
    let kernel =
        Product { bias: true, residual: true, activation, ..Product::plain(rows, inputs, outputs) };
    let made = writer.launch(kernel, &[input, v, bias, first]);
    writer.finish(made)
}

pub(crate) fn embeddings() -> Vec<(String, Program)> {
    let one = |(image, patch, lead, outputs)| {
        let (mean, std) = ([0.0; 3], [1.0; 3]);
        let pixels = Pixels { image, channels: 3, patch, mean, std, lead };
        (format!("embed {image} {patch} {lead}"), Program::alone(Embed { pixels, outputs }))
    };
    [(8, 4, 1, 48), (12, 4, 0, 65), (6, 2, 5, 16)].map(one).into()
}

pub(crate) fn norms() -> Vec<(String, Program)> {
    let one = |(rows, width, take): (usize, usize, std::ops::Range<usize>)| {
        let what = format!("norm {rows} {width} {take:?}");
        (what, Program::alone(Norm { rows, width, take, eps: 1e-5 }))
    };
    [(65, 256, 0..65), (7, 10, 0..1), (9, 100, 1..9), (5, 1000, 2..4)].map(one).into()
}

pub(crate) fn means() -> Vec<(String, Program)> {
    let one = |(rows, width, over, first): (usize, usize, std::ops::Range<usize>, bool)| {
        let what = format!("mean {rows} {width} {over:?}");
        (what, Program::alone(Mean { rows, width, over, first }))
    };
    [(65, 96, 0..65, false), (7, 130, 1..7, true), (9, 5, 4..9, true)].map(one).into()
}

pub(crate) fn attentions() -> Vec<(String, Program)> {
    let mut all = Vec::new();
    // On tensor cores, the last one's keys come in turns.
    for (rows, heads, dh) in
        [(65, 2, 64), (257, 3, 16), (5, 2, 8), (1, 1, 3), (130, 1, 96), (389, 1, 32)]
    {
        // A workgroup computes its rows again where scores are farther from 30 than 24.
        for kind in [
            Scores::Softmax,
            Scores::Unified { phi: 1.0 },
            Scores::Unified { phi: 30.0 },
            Scores::TwoPass,
            Scores::Relu,
            Scores::Linear,
            Scores::Sigmoid,
            Scores::Softplus,
            Scores::StableMax,
        ] {
            let kinds = (0..heads).map(|head| (head, kind)).collect();
            let what = format!("attention {kind:?} {rows} {heads} {dh}");
            all.push((what, Program::alone(Attention { rows, heads, dh, kinds })));
        }
        let what = format!("linear attention {rows} {heads} {dh}");
        let of = Heads::all(rows, heads, dh);
        all.push((what, Program::alone(LinearAttention { of })));
    }
    // Both kernels write their heads' columns of one tensor.
    let (rows, heads, dh) = (20, 4, 8);
    let (mut writer, qkv) = Writer::new(rows * 3 * heads * dh);
    let of = Heads { mine: vec![1, 3], ..Heads::all(rows, heads, dh) };
    let made = writer.launch(LinearAttention { of }, &[qkv]);
    let kinds = vec![(0, Scores::Softmax), (2, Scores::Relu)];
    writer.launch_into(made, Attention { rows, heads, dh, kinds }, &[qkv]);
    all.push(("mixed heads".into(), writer.finish(made)));
    all
}

/// Every kernel, kind and odd shape.
#[cfg(feature = "cuda")]
pub(crate) fn all() -> Vec<(String, Program)> {
    let residual = vec![("residual".to_owned(), residual())];
    [products(), residual, embeddings(), norms(), means(), attentions()]
        .into_iter()
        .flatten()
        .collect()
}
