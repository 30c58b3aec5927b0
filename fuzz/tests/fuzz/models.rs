//! Files and messages that a model comes in: architecture, calibration, weights; masked weights and corrections.

use std::sync::LazyLock;

use sotto_crypto::Seed;
use sotto_models::{Arch, Calibration, Private, Weights, private::Options, weights::Precision};
use sotto_net::{Certificate, Identity};
use sotto_protocols::{
    Error, Role,
    batch::Batch,
    weights::{SetupMasks, Weights as Matrices, read_setup, setup_message},
};

use super::input::{Input, fuzz};

/// A small calibrated model.
pub struct Small {
    pub arch: Arch,
    pub weights: Weights,
    pub calibration: Calibration,
    pub private: Private,
}

/// The model that valid inputs belong to.
pub static SMALL: LazyLock<Small> = LazyLock::new(|| {
    let arch = Arch::vit(1, 2, 8, 12, 8, 4, 3);
    let weights = Weights::random(&arch, 1);
    let image = |i: usize| (0..192).map(|at| ((at * i) % 17) as f32 / 9.0 - 1.0).collect();
    let images: Vec<Vec<f32>> = (1..9).map(image).collect();
    let calibration = Calibration::record(&arch, &weights, &images, |_| ());
    let private = Private::new(&arch, &calibration, 1, Options::default()).expect("mild ranges");
    Small { arch, weights, calibration, private }
});

#[test]
fn architecture() {
    let labels = ["a", "b", "c"].map(String::from).to_vec();
    let valid = [SMALL.arch.to_toml(), Arch { labels, ..SMALL.arch.clone() }.to_toml()];
    let valid = valid.map(String::into_bytes);
    fuzz!(|input: &Input| {
        if let Ok(arch) = Arch::from_toml(&input.text(&valid)) {
            assert!(arch.validate().is_ok());
            assert!(Arch::from_toml(&arch.to_toml()).is_ok_and(|again| again == arch));
        }
    });
}

#[test]
fn calibration() {
    let valid = [SMALL.calibration.to_toml().into_bytes()];
    fuzz!(|input: &Input| {
        let Ok(read) = Calibration::from_toml(&input.text(&valid)) else { return };
        for (i, layer) in read.layers.iter().enumerate() {
            for range in layer.keys().filter_map(|name| read.named(i, name).ok()) {
                assert!(range.min <= range.max && range.size().is_finite());
            }
        }
        drop(Private::new(&SMALL.arch, &read, 1, Options::default()));
    });
}

#[test]
fn weights() {
    let valid = [Precision::F16, Precision::F32]
        .map(|precision| SMALL.weights.to_bytes(precision).expect("small numbers"));
    fuzz!(|input: &Input| {
        if let Ok(read) = Weights::from_bytes(&SMALL.arch, &input.bytes(&valid)) {
            assert_eq!(read.parameters(), SMALL.arch.parameters());
            assert!(read.values("head.bias").iter().all(|x| x.is_finite()));
        }
    });
}

#[test]
fn masked_weights() {
    let plan = &SMALL.private.plan;
    let masks = SetupMasks::expand(plan, &Seed::from_bytes([2; 32]));
    let valid = [setup_message(plan, &SMALL.private.matrices(&SMALL.weights), &masks)];
    fuzz!(|input: &Input| {
        let bytes = input.bytes(&valid);
        let len = bytes.len();
        match read_setup(plan, bytes.to_vec(), "server") {
            Ok(Matrices::Masked(masked)) => {
                let fit = plan.weights.iter().enumerate().all(|(id, spec)| {
                    let words = masked.matrix(id).to_words();
                    words.iter().all(|w| *w <= u64::MAX >> (64 - spec.width))
                        && words.len() == spec.outputs * spec.inputs
                });
                assert!(fit && len == valid[0].len());
            }
            Ok(Matrices::Plain(_) | Matrices::Encrypted) => panic!("the client has masked weights"),
            Err(Error::Desync { .. }) => assert_ne!(len, valid[0].len()),
            Err(e) => panic!("another error: {e}"),
        }
    });
}

#[test]
fn corrections() {
    let plan = &SMALL.private.plan;
    let weights = Matrices::Plain(SMALL.private.matrices(&SMALL.weights));
    let due = plan.correction_bytes();
    let valid = [vec![0x5c; due]];
    fuzz!(|input: &Input| {
        let corrections = input.bytes(&valid);
        let len = corrections.len();
        let batch =
            Batch { id: 7, seed: Seed::from_bytes([3; 32]), corrections: Some(corrections) };
        match batch.stage(plan, Role::Server, &weights) {
            Ok(_) => assert_eq!(len, due),
            Err(Error::Correlation { batch: 7, .. }) => assert_ne!(len, due),
            Err(e) => panic!("another error: {e}"),
        }
    });
}

#[test]
fn certificate() {
    let identity = Identity::generate("server").expect("a fresh key");
    let valid = [identity.certificate().to_pem().into_bytes()];
    fuzz!(|input: &Input| {
        if let Ok(read) = Certificate::from_pem(&input.text(&valid)) {
            assert!(Certificate::from_pem(&read.to_pem()).is_ok_and(|again| again == read));
        }
    });
}
