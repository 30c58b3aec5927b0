//! Kernels alone, at the shapes of models that people run, each batch several times what a card's cache holds: a JSON line for
//! each, with its median seconds by the device's clock.
//!
//!     cargo run --release -p sotto-gpu --features cuda --example kernels -- cuda bf16 [--quick]

use std::{env, process::ExitCode};

use sotto_gpu::{
    Device, Error, Precision, Program, Scores, devices,
    kernel::Kernel,
    kernels::{Attention, LinearAttention, Norm, Product},
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
        let all: Vec<usize> = (0..heads).collect();
        let kinds = [
            ("softmax", Scores::Softmax),
            ("two-pass softmax", Scores::TwoPass),
            ("unified softmax", Scores::Unified { phi: 0.0 }),
            ("ReLU", Scores::Relu),
            ("sigmoid", Scores::Sigmoid),
        ];
        let shape = format!("{batch} x {heads} x {rows} x {dh}");
        for (name, kind) in kinds {
            let kinds = all.iter().map(|&head| (head, kind)).collect();
            let kernel = Attention { rows, heads, dh, kinds };
            one(asked, &format!("{model} {name}"), &shape, kernel, batch / share)?;
        }
        let kernel = LinearAttention { rows, heads, dh, mine: all };
        one(asked, &format!("{model} linear"), &shape, kernel, batch / share)?;
    }
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
        one(asked, what, &shape, kernel, (batch / share).max(1))?;
    }
    let kernel = Norm { rows: 65, width: 256, take: 0..65, eps: 1e-5 };
    one(asked, "CIFAR norm", "137280 x 256", kernel, 2112 / share)
}

fn one(
    (device, precision, quick): (&dyn Device, Precision, bool),
    what: &str,
    shape: &str,
    kernel: impl Kernel + 'static,
    batch: usize,
) -> Result<(), Error> {
    let program = Program::alone(kernel);
    let mut session = device.load(&program, batch, precision)?;
    let numbers = program.input.1 * batch;
    let input: Vec<f32> = (0..numbers).map(|i| ((i * 7919 % 1009) as f32 / 504.5) - 1.0).collect();
    session.run(&input)?;
    let runs = if quick { 1 } else { RUNS };
    let mut seconds = Vec::new();
    while seconds.len() < runs {
        match session.profile()? {
            Some(launches) => seconds.push(launches[0]),
            None => return Ok(()),
        }
    }
    seconds.sort_by(f64::total_cmp);
    let launch = &program.launches[0];
    println!(
        "{{\"what\": \"{what}\", \"shape\": \"{shape}\", \"precision\": \"{}\", \"seconds\": {:e}, \"least_s\": {:e}, \"operations\": {}, \"bytes\": {}}}",
        precision.name(),
        seconds[seconds.len() / 2],
        seconds[0],
        launch.operations(batch),
        launch.bytes(batch, precision.width()),
    );
    Ok(())
}
