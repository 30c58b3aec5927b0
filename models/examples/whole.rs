//! Makes all correlations of a preset with random weights without a dealer, both parties in one process, evaluates on them
//! and prints counts, seconds of each party and the error:
//! `cargo run --release -p sotto-models --example whole -- small|cifar|tiny [softmax|relu|linear]`.

use std::time::{Duration, Instant};

use sotto_crypto::Seed;
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::Attention,
    float::{NoProbe, forward},
    private::Options,
};
use sotto_ot::softspoken::K;
use sotto_protocols::{
    local::Local,
    make::{Keys, Made, MakeTurn, Maker, weights_len, whole_recipe},
    spec::Role,
    testing::made::{matrix_setup, transfers},
};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let arch = match args.get(1).map(String::as_str) {
        Some("tiny") => Arch::vit_tiny(),
        Some("cifar") => Arch::vit_cifar(),
        _ => Arch::vit(2, 4, 64, 128, 32, 4, 10),
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

    let start = Instant::now();
    let recipe = whole_recipe(plan).expect("every gate can be made");
    let traffic = recipe.traffic(K);
    println!(
        "recipe in {:?}: {} flights, {:.1} MB from the server, {:.1} MB from the client, {:.2} million COTs",
        start.elapsed(),
        traffic.flights,
        traffic.from_server as f64 / 1e6,
        traffic.from_client as f64 / 1e6,
        [Role::Server, Role::Client].map(|r| recipe.cots(r)).iter().sum::<usize>() as f64 / 1e6
    );
    let matrices = private.matrices(&weights);
    let start = Instant::now();
    let setup = matrix_setup(&recipe, &matrices, &seed.derive("keys", 0)).expect("our own");
    println!(
        "setup of matrices, once per model: {:.1} MB of weights, {:.1} MB of keys each, {:?}",
        weights_len(&recipe) as f64 / 1e6,
        Keys::BYTES as f64 / 1e6,
        start.elapsed()
    );
    let [mut at_server, mut at_client] = transfers(&seed.derive("cots", 0)).expect("points");

    let session = Local::without_masks(plan, matrices, &seed).expect("ours");
    let seeds = session.seeds(0, Role::Server);
    let [server, client] = &seeds.party;
    let mut parties = [
        Maker::new(&recipe, Role::Server, server, &mut at_server).with_matrices(&setup[0]),
        Maker::new(&recipe, Role::Client, client, &mut at_client).with_matrices(&setup[1]),
    ];
    let (made, times) = make(&mut parties);
    println!("made by the server in {:?}, by the client in {:?}", times[0], times[1]);
    let mut batches = made.into_iter().zip(&seeds.party).map(|(made, seed)| {
        assert_eq!(made.traffic, traffic, "measured and planned");
        made.batch(0, seed.clone(), &recipe, &[]).expect("nothing is supplied")
    });
    let batches = [batches.next().expect("two"), batches.next().expect("two")];
    let input = private.encode(&images[..1]);
    let start = Instant::now();
    let [_, client] = session.evaluate(batches, [&[], &input]).expect("the plan's own");
    println!("evaluated by both in {:?}", start.elapsed());
    let truth = forward(&arch, &weights, &images[0], &mut NoProbe);
    let logits = &private.decode(&client.outputs[0])[0];
    let error = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs();
    println!("largest error {:.2e}", truth.iter().zip(logits).map(error).fold(0.0, f64::max));
}

/// Both parties turn by turn, with the time of each.
fn make(parties: &mut [Maker<'_>; 2]) -> (Vec<Made>, [Duration; 2]) {
    let mut times = [Duration::ZERO; 2];
    loop {
        let (mut messages, mut done) = (Vec::new(), Vec::new());
        for (party, time) in parties.iter_mut().zip(&mut times) {
            let start = Instant::now();
            match party.turn() {
                MakeTurn::Exchange { send, expect, .. } => messages.push((send, expect)),
                MakeTurn::Done(made) => done.push(made),
            }
            *time += start.elapsed();
        }
        if done.len() == 2 {
            return (done, times);
        }
        for ((party, time), i) in parties.iter_mut().zip(&mut times).zip(0..) {
            if messages[i].1 > 0 {
                let start = Instant::now();
                party.receive(&messages[1 - i].0).expect("the peer's message");
                *time += start.elapsed();
            }
        }
    }
}
