//! Runs a preset with random weights inside one process and prints error, bytes and times:
//! `cargo run --release -p sotto-models --example local -- small|cifar|tiny [softmax|relu|linear]`.

use std::time::Instant;

use sotto_models::float::{NoProbe, forward};
use sotto_protocols::{
    Role,
    local::Local,
    party::{Evaluation, lockstep},
};

mod preset;

use preset::Preset;

fn main() {
    let Preset { arch, weights, private, images, seed } = Preset::of_arguments();
    let plan = &*private.plan;
    println!("{:?}", private.format.sublayers[0]);
    let online = plan.online();
    println!(
        "flights {}, online {:.2} MB from server, {:.2} MB from client, offline {:.2} MB, setup {:.2} MB",
        online.flights,
        online.from_server as f64 / 1e6,
        online.from_client as f64 / 1e6,
        plan.correction_bytes() as f64 / 1e6,
        plan.setup_bytes() as f64 / 1e6
    );
    let session = Local::new(plan, private.matrices(&weights), &seed).expect("ours");
    let (mut worst, mut total, mut n) = (0f64, 0f64, 0);
    for (i, image) in images.iter().enumerate() {
        let t = Instant::now();
        let [server, client] = session.deal(i as u64);
        let dealt = t.elapsed();
        let t = Instant::now();
        let server = session.stage(Role::Server, server).expect("whole");
        let staged_server = t.elapsed();
        let t = Instant::now();
        let client = session.stage(Role::Client, client).expect("whole");
        let staged_client = t.elapsed();
        let t = Instant::now();
        let input = private.encode(std::slice::from_ref(image));
        let server = Evaluation::new(&session.party(Role::Server), server, &[]);
        let client = Evaluation::new(&session.party(Role::Client), client, &input);
        let parties = [server, client].map(|party| party.expect("an input of the plan"));
        let [_, client] = lockstep(parties).expect("one plan");
        let logits = client.outputs;
        println!(
            "deal {dealt:?} stage server {staged_server:?} client {staged_client:?} online {:?} of both",
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
