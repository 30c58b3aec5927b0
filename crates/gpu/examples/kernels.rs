//! Kernels alone, at the shapes of models that people run, each batch several times what a card's cache holds: a JSON line for
//! each, with its median seconds by the device's clock.
//!
//!     cargo run --release -p sotto-gpu --features cuda --example kernels -- cuda bf16 [--quick]

use std::{env, process::ExitCode};

use sotto_gpu::{
    Device, Error, Precision, Program, Scores, devices,
    kernels::{
        Attention, ClippedSoftmax, Decode, GatedAttention, Gaussian, Heads, InlineAttention,
        IntegerAttention, LinearAttention, Lssa, Mala, Norm, Product, integer_attention::Units,
    },
};
use sotto_models::arch::Activation;

/// Runs of a kernel, of which the median counts; with `--quick` there is one.
const RUNS: usize = 21;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let word = |at: usize, other: &str| words.get(at).cloned().unwrap_or_else(|| other.into());
    let done = word(1, "f32").parse().map_err(|e: String| e).and_then(|precision| {
        let device = devices::open(&word(0, "cpu")).map_err(|e| e.to_string())?;
        measure(&*device, precision, word(2, "") == "--quick").map_err(|e| e.to_string())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("kernels: {why}");
            ExitCode::from(2)
        }
    }
}

fn measure(device: &dyn Device, precision: Precision, quick: bool) -> Result<(), Error> {
    let asked = (device, precision, quick);
    let share = if quick { 256 } else { 1 };
    for (model, rows, heads, dh, batch) in [
        ("CIFAR", 65, 4, 64, 2048),
        ("Tiny", 257, 12, 16, 512),
        ("BERT", 128, 12, 64, 256),
        ("ViT-base", 197, 12, 64, 192),
    ] {
        let of = Heads::all(rows, heads, dh);
        let kinds = [
            ("softmax", Scores::Softmax),
            ("two-pass softmax", Scores::TwoPass),
            ("unified softmax", Scores::Unified { phi: 0.0 }),
            ("ReLU", Scores::Relu),
            ("sigmoid", Scores::Sigmoid),
        ];
        let shape = format!("{batch} x {heads} x {rows} x {dh}");
        let attention = |kind| {
            let kinds = of.mine.iter().map(|&head| (head, kind)).collect();
            Attention { rows, heads, dh, kinds }
        };
        let mut all: Vec<_> =
            kinds.map(|(name, kind)| (name, Program::alone(attention(kind)))).into();
        let linear = LinearAttention { of: of.clone() };
        all.push(("linear", Program::alone(linear)));
        all.extend(further(&of, attention(Scores::Softmax)));
        for (name, program) in all {
            one(asked, &format!("{model} {name}"), &shape, &program, (batch / share).max(1))?;
        }
    }
    // A word that GPT-2 writes; more workgroups than a large card's processors.
    let program = Decode::new(1024, 12, 64, 264).program();
    one(asked, "GPT-2 decode", "64 x 12 x 1 x 1024 x 64", &program, (64 / share).max(1))?;
    let (gelu, none) = (Activation::Gelu, Activation::None);
    for (what, rows, inputs, outputs, activation, batch) in [
        ("CIFAR qkv", 65, 256, 768, none, 1056),
        ("CIFAR fc1, GELU", 65, 256, 512, gelu, 1056),
        ("CIFAR fc2", 65, 512, 256, none, 1056),
        ("BERT fc1, GELU", 128, 768, 3072, gelu, 128),
        ("BERT fc2", 128, 3072, 768, none, 128),
        ("large", 128, 4096, 4096, none, 64),
    ] {
        let plain = Product::plain(rows, inputs, outputs);
        let kernel = Product { bias: true, activation, ..plain };
        let shape = format!("{} x {inputs} x {outputs}", batch * rows);
        one(asked, what, &shape, &Program::alone(kernel), (batch / share).max(1))?;
    }
    let norm = Program::alone(Norm { rows: 65, width: 256, take: 0..65, eps: 1e-5 });
    one(asked, "CIFAR norm", "137280 x 256", &norm, 2112 / share)
}

/// Kinds of attention that no model of ours has, at the size of one that has.
fn further(of: &Heads, attention: Attention) -> Vec<(&'static str, Program)> {
    let of = || of.clone();
    let units = Units { qkv: 1.0 / 64.0, score: 8.0 / 127.0, result: 1.0 / 64.0 };
    let clipped = ClippedSoftmax { of: of(), gamma: -4.0 / attention.rows as f32, eta: 1.0 };
    let integer = IntegerAttention::new(of(), units).expect("32 bits are enough");
    vec![
        ("clipped softmax", Program::alone(clipped)),
        ("gated softmax", Program::alone(GatedAttention { attention })),
        ("InLine", Program::alone(InlineAttention { of: of() })),
        ("MALA", Program::alone(Mala { of: of() })),
        ("Gaussian", Program::alone(Gaussian { of: of() })),
        ("LSSA", Program::alone(Lssa { of: of() })),
        ("integer", Program::alone(integer)),
    ]
}

fn one(
    (device, precision, quick): (&dyn Device, Precision, bool),
    what: &str,
    shape: &str,
    program: &Program,
    batch: usize,
) -> Result<(), Error> {
    let mut session = device.load(program, batch, precision)?;
    let numbers = program.input.1 * batch;
    // Whole numbers from -100 to 100 as they are, for kernels that take bytes; others get them as hundredths.
    let whole = program.launches[0].kernel.name() == "integer attention";
    let unit = if whole { 1.0 } else { 0.01 };
    let input: Vec<f32> =
        (0..numbers).map(|i| ((i * 7919 % 1009) as f32 / 5.045 - 100.0).round() * unit).collect();
    session.run(&input)?;
    let runs = if quick { 1 } else { RUNS };
    let mut seconds: Vec<f64> = Vec::new();
    while seconds.len() < runs {
        match session.profile()? {
            Some(launches) => seconds.push(launches.iter().sum()),
            None => return Ok(()),
        }
    }
    seconds.sort_by(f64::total_cmp);
    let width = precision.width();
    println!(
        "{{\"what\": \"{what}\", \"shape\": \"{shape}\", \"precision\": \"{}\", \"seconds\": {:e}, \"least_s\": {:e}, \"operations\": {}, \"bytes\": {}}}",
        precision.name(),
        seconds[seconds.len() / 2],
        seconds[0],
        program.operations(batch),
        program.launches.iter().map(|launch| launch.bytes(batch, width)).sum::<u64>(),
    );
    Ok(())
}
