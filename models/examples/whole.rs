//! Makes all correlations of a preset with random weights without a dealer, both parties in one process, evaluates on them
//! and prints counts, seconds of each party on a core and the error beside that on dealt correlations:
//! `cargo run --release -p sotto-models --example whole -- small|cifar|tiny [softmax|relu|linear]`.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use sotto_models::float::{NoProbe, forward};
use sotto_protocols::{
    local::Local,
    make::{Extension, Keys, Made, MakeTurn, Maker, weights_len, whole_recipe},
    spec::Role,
    testing::made::{matrix_setup, transfers},
};

mod preset;

use preset::Preset;

fn main() {
    let Preset { arch, weights, private, images, seed } = Preset::of_arguments();
    let plan = &*private.plan;

    let start = Instant::now();
    let recipe = whole_recipe(plan, Extension::Ferret).expect("every gate can be made");
    let traffic = recipe.traffic();
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
    let [mut at_server, mut at_client] =
        transfers(&seed.derive("cots", 0), recipe.extension).expect("points");

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
    let [_, dealt] = session.evaluate(session.deal(1), [&[], &input]).expect("the plan's own");
    let truth = forward(&arch, &weights, &images[0], &mut NoProbe);
    let error = |outputs: &[Vec<i64>]| {
        let logits = &private.decode(&outputs[0])[0];
        let far = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs();
        truth.iter().zip(logits).map(far).fold(0.0, f64::max)
    };
    println!("largest error {:.2e}, dealt {:.2e}", error(&client.outputs), error(&dealt.outputs));
}

/// What this thread has had of a core, where the system tells; else the clock.
fn now() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// Both parties turn by turn, with the time of each.
fn make(parties: &mut [Maker<'_>; 2]) -> (Vec<Made>, [Duration; 2]) {
    let mut times = [Duration::ZERO; 2];
    loop {
        let (mut messages, mut done) = (Vec::new(), Vec::new());
        for (party, time) in parties.iter_mut().zip(&mut times) {
            let start = now();
            match party.turn() {
                MakeTurn::Exchange { send, expect, .. } => messages.push((send, expect)),
                MakeTurn::Done(made) => done.push(made),
            }
            *time += now() - start;
        }
        if done.len() == 2 {
            return (done, times);
        }
        for ((party, time), i) in parties.iter_mut().zip(&mut times).zip(0..) {
            if messages[i].1 > 0 {
                let start = now();
                party.receive(&messages[1 - i].0).expect("the peer's message");
                *time += now() - start;
            }
        }
    }
}
