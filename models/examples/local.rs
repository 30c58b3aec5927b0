//! Runs a preset with random weights inside one process and prints error, bytes and times:
//! `cargo run --release -p sotto-models --example local -- cifar|tiny [softmax|relu|linear]`.

use std::time::Instant;

use sotto_crypto::Seed;
use sotto_link::local_pair;
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::Attention,
    float::{NoProbe, forward},
    private::Options,
};
use sotto_protocols::{
    Role,
    batch::Batch,
    deal::{Seeds, deal},
    party::Party,
    weights::{SetupMasks, Weights as PartyWeights, read_setup, setup_message},
};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let arch = match args.get(1).map(String::as_str) {
        Some("tiny") => Arch::vit_tiny(),
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
    let plan = &*private.plan;
    println!("{:?}", private.format.layers[0]);
    let online = plan.online();
    println!(
        "flights {}, online {:.2} MB from server, {:.2} MB from client, offline {:.2} MB, setup {:.2} MB",
        online.flights,
        online.from_server as f64 / 1e6,
        online.from_client as f64 / 1e6,
        plan.correction_bytes() as f64 / 1e6,
        plan.setup_bytes() as f64 / 1e6
    );
    let matrices = private.matrices(&weights);
    let setup = SetupMasks::expand(plan, &seed.derive("setup", 0));
    let masked = read_setup(plan, &setup_message(plan, &matrices, &setup), "server").expect("ours");
    let plain = PartyWeights::Plain(matrices);
    let (mut worst, mut total, mut n) = (0f64, 0f64, 0);
    for (i, image) in images.iter().enumerate() {
        let seeds = Seeds {
            party: [seed.derive("s", i as u64), seed.derive("c", i as u64)],
            corrected: Role::Server,
        };
        let t = Instant::now();
        let mut corrections = Vec::with_capacity(plan.correction_bytes());
        let Ok(()) = deal(plan, &seeds, &setup, |b| {
            corrections.extend(b);
            Ok::<(), std::convert::Infallible>(())
        });
        let dealt = t.elapsed();
        let [s, c] = seeds.party;
        let t = Instant::now();
        let server = Batch { id: 0, seed: s, corrections: Some(corrections) };
        let server = server.stage(plan, Role::Server, &plain).expect("whole");
        let staged_server = t.elapsed();
        let t = Instant::now();
        let client = Batch { id: 0, seed: c, corrections: None };
        let client = client.stage(plan, Role::Client, &masked).expect("whole");
        let staged_client = t.elapsed();
        let (mut a, mut b) = local_pair("client", "server");
        let t = Instant::now();
        let input = private.encode(std::slice::from_ref(image));
        let logits = std::thread::scope(|scope| {
            scope.spawn(|| {
                let party = Party { role: Role::Server, plan, weights: &plain };
                party.evaluate(&mut a, server, &[]).expect("local");
            });
            let party = Party { role: Role::Client, plan, weights: &masked };
            party.evaluate(&mut b, client, &[input]).expect("local").outputs
        });
        println!(
            "deal {dealt:?} stage server {staged_server:?} client {staged_client:?} online {:?}",
            t.elapsed()
        );
        let truth = forward(&arch, &weights, image, &mut NoProbe);
        for (a, b) in truth.iter().zip(&private.decode(&logits[0])[0]) {
            let e = (f64::from(*a) - b).abs();
            worst = worst.max(e);
            total += e;
            n += 1;
        }
    }
    println!("max error {worst:.2e} mean {:.2e}", total / f64::from(n));
}
