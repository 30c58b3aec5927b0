//! Records an evaluation of the demo model for `party.mjs`: `cargo run -p sotto-wasm --example record -- FILE`.
//!
//! The file's parts: what the client begins from, then message by message the client's and the server's, then the logits. It
//! holds secrets of a client that does not exist.

use std::{env, error::Error, fs, process::ExitCode};

use sotto_crypto::Seed;
use sotto_models::{
    Calibration, Model, Private, Weights, demo,
    images::{Fit, normalise, read_cifar},
    private::Options,
};
use sotto_protocols::{Role, local::Local, observer::Observer, weights::setup_message};
use sotto_wasm::parts::put;

/// A party's messages by level.
#[derive(Default)]
struct Messages(Vec<(usize, Vec<u8>)>);

impl Observer for Messages {
    fn sends(&mut self, level: usize, message: &[u8]) {
        self.0.push((level, message.to_vec()));
    }
}

fn main() -> ExitCode {
    let Some(file) = env::args_os().nth(1) else {
        eprintln!("record FILE");
        return ExitCode::from(2);
    };
    let written = record().and_then(|all| {
        fs::write(&file, &all)?;
        println!("{} bytes in {}", all.len(), file.display());
        Ok(())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("record: {e}");
            ExitCode::FAILURE
        }
    }
}

fn record() -> Result<Vec<u8>, Box<dyn Error>> {
    let model = Model::from_toml(demo::ARCH)?;
    let weights = Weights::from_bytes(&model, demo::WEIGHTS)?;
    let calibration = Calibration::from_toml(demo::CALIBRATION)?;
    // As a card has it.
    let calibration = calibration.told(&model, Options::default());
    let pictures = read_cifar(demo::IMAGES, "images.bin", &model, Fit::Resize, 1)?;
    let pixels = model.pixels().ok_or("the demo model takes pictures")?;
    let picture = normalise(pixels, &pictures[0]);

    let private = Private::new(&model, &calibration, 1, Options::default())?;
    let (plan, matrices) = (&private.plan, private.matrices(&weights));
    let local = Local::new(plan, matrices.clone(), &Seed::from_bytes([7; 32]))?;
    let seeds = local.seeds(0, Role::Server);
    let seed = seeds.party[Role::Client.index()].expose();
    let [mut server, mut client] = [Messages::default(), Messages::default()];
    let inputs = private.encode(std::slice::from_ref(&picture));
    let [_, done] =
        local.evaluate_observed(local.deal(0), [&[], &inputs], [&mut server, &mut client])?;

    let mut all = Vec::new();
    put(&mut all, model.to_toml().as_bytes());
    put(&mut all, calibration.to_toml().as_bytes());
    put(&mut all, &setup_message(plan, &matrices, local.masks()));
    put(&mut all, seed);
    put(&mut all, &picture.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    assert!(
        server.0.iter().map(|m| m.0).eq(client.0.iter().map(|m| m.0)),
        "both tell of all levels"
    );
    for ((_, to_server), (_, to_client)) in client.0.iter().zip(&server.0) {
        put(&mut all, to_server);
        put(&mut all, to_client);
    }
    let logits = private.decode(&done.outputs[0]);
    put(&mut all, &logits.iter().flatten().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    Ok(all)
}
