//! The hashes of the presets' plans, written down.
//!
//! A change here is a change of what the parties say to each other: programs before and after it refuse each other.
//! Where that is meant, the version in `crates/session/src/messages.rs` goes up, and the table becomes what the test prints.

use std::collections::HashSet;

use sotto_crypto::Seed;
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::Attention,
    calibration::{Range, hex},
    format::MaxKind,
    private::{Options, Reveal, Tables},
};

use sotto_protocols::{
    Role,
    make::{Extension, Maker, whole_recipe},
    testing::made::{make_both, matrix_setup, transfers},
};

use crate::{gate_plans, wiretap::transcript, zoo};

/// Model, options, images, and the first bytes of the hash.
const HASHES: [(&str, &str, usize, &str); 17] = [
    ("demo", "", 1, "aa5e120d03c57512"),
    ("demo", "p", 1, "aa5e120d03c57512"),
    ("demo", "c", 1, "930d40bc0ca38f5e"),
    ("demo", "r", 1, "efcf65fecdbb4ec4"),
    ("demo", "pcr", 4, "5e2bb0c9f1db4c91"),
    ("demo", "", 64, "1b3972d2df0ea90c"),
    ("vit_cifar softmax", "", 1, "82bf559ed62c9b9b"),
    ("vit_cifar relu", "", 1, "abd27071035ae862"),
    ("vit_cifar linear", "", 1, "53787a4eea45d317"),
    ("vit_cifar softmax", "pcr", 1, "343894f3045d7eb8"),
    ("vit_cifar softmax", "c", 2, "a61274c539173597"),
    ("vit_tiny softmax", "", 1, "05c17b059ed0c114"),
    ("vit_tiny relu", "", 1, "a39fb9deedf00625"),
    ("vit_tiny linear", "", 1, "31384fe8f631899e"),
    ("vit_tiny softmax", "pcr", 1, "dda8de0d8ae4bdd2"),
    ("vit_tiny softmax", "c", 2, "de9bd79ccf0c6629"),
    ("vit_cifar relu", "c", 1, "3e1019551272d617"),
];

/// The options of a word: `p`ublic maximum, `c`lass, `r`ow tables.
fn options(word: &str) -> Options {
    Options {
        max: if word.contains('p') { MaxKind::Public } else { MaxKind::Coarse },
        reveal: if word.contains('c') { Reveal::Class } else { Reveal::Logits },
        tables: if word.contains('r') { Tables::Rows } else { Tables::Pieces },
        ..Options::default()
    }
}

/// The embedded model, or a preset whose every tensor has the same range: recorded ones depend on the machine.
fn model(name: &str) -> (Arch, Calibration) {
    if name == "demo" {
        let arch = Arch::from_toml(include_str!("../../../models/demo/arch.toml"));
        let calibration =
            Calibration::from_toml(include_str!("../../../models/demo/calibration.toml"));
        return (arch.expect("the demo's"), calibration.expect("the demo's"));
    }
    let (base, kind) = name.split_once(' ').expect("a preset and a kind of attention");
    let arch = if base == "vit_tiny" { Arch::vit_tiny() } else { Arch::vit_cifar() };
    let kind = Attention::ALL.into_iter().find(|k| k.name() == kind).expect("a kind");
    let range = Range { min: 0.5, max: 2.5 };
    let layer = || zoo::names().into_iter().map(|name| (name, range)).collect();
    let layers = (0..=arch.layers).map(|_| layer()).collect();
    (
        arch.with_attention(kind),
        Calibration {
            images: 1,
            weights: String::new(),
            groups: Vec::new(),
            heads: Vec::new(),
            layers,
        },
    )
}

#[test]
fn plans_have_the_hashes_that_are_written_down() {
    let mut found = Vec::new();
    for (name, word, batch, _) in HASHES {
        let (arch, calibration) = model(name);
        let private = Private::new(&arch, &calibration, batch, options(word));
        let private = private.unwrap_or_else(|e| panic!("{name}: {e}"));
        found.push((name, word, batch, hex(&private.plan.hash()[..8])));
    }
    let same = HASHES.iter().zip(&found).all(|(a, b)| a.3 == b.3);
    let table: Vec<String> = found.iter().map(|row| format!("    {row:?},")).collect();
    assert!(same, "the plans are now\n{}", table.join("\n"));
}

/// The first bytes of a hash over all that crosses in one evaluation of the demo: masked weights, corrections, every message.
const TRANSCRIPT: &str = "76d2531f075e65b5";

/// The first bytes of a hash over all of this.
fn digest(all: &[&[u8]]) -> String {
    hex(&Seed::from_bytes([0; 32]).derive_fields("transcript", all).expose()[..8])
}

/// Draws in another order, another table, another packing: what changes the bytes but not the plan changes this.
#[test]
fn the_demo_says_byte_for_byte_what_is_written_down() {
    let (arch, calibration) = model("demo");
    let bytes = include_bytes!("../../../models/demo/weights.safetensors");
    let weights = Weights::from_bytes(&arch, bytes).expect("the demo's");
    let private = Private::new(&arch, &calibration, 1, Options::default()).expect("the demo's");
    let pixels = arch.channels * arch.image * arch.image;
    let image = (0..pixels).map(|i| (i * 37 % 251) as f32 / 64.0 - 2.0).collect();
    let (plan, matrices) = (&private.plan, private.matrices(&weights));
    let seed = Seed::from_bytes([6; 32]);
    let seen = transcript(plan, &matrices, &private.encode(&[image]), &seed, Role::Server);
    let sent = seen.records.iter().flat_map(|record| &record.sent);
    let mut all = vec![&seen.setup[..], &seen.corrections];
    all.extend(sent.map(|(_, message)| &message[..]));
    assert_eq!(digest(&all), TRANSCRIPT);
}

/// The same of all that crosses when two parties make a batch of each gate's plan: transfers, ciphertexts, answers.
const MADE: &str = "6f938badf962d55a";
/// Ferret's own messages are written down in `sotto-ot`.
const EXTENSION: Extension = Extension::SOFTSPOKEN;

/// Another recipe, another order of its steps, another cipher or encoding: what the plan's hash does not see.
#[test]
fn two_parties_that_make_say_byte_for_byte_what_is_written_down() {
    let seed = Seed::from_bytes([6; 32]);
    let [mut server, mut client] =
        transfers(&seed.derive("transfers", 0), EXTENSION).expect("the messages are each other's");
    let mut said = Vec::new();
    for case in gate_plans::all() {
        let Ok(recipe) = whole_recipe(&case.plan, EXTENSION) else { continue };
        let seed = seed.derive(&case.name, 0);
        let setup = matrix_setup(&recipe, &case.secrets[1].matrices, &seed);
        let setup = setup.expect("the messages are each other's");
        let maker = |role: Role, transfers| {
            Maker::new(&recipe, role, &seed.derive(role.name(), 0), transfers)
                .with_matrices(&setup[role.index()])
        };
        let makers = [maker(Role::Server, &mut server), maker(Role::Client, &mut client)];
        let (_, flights) = make_both(makers).expect("one recipe");
        said.push((case.name, flights));
    }
    let silent: Vec<&str> = (said.iter())
        .filter(|(_, flights)| flights.iter().flatten().all(Vec::is_empty))
        .map(|(name, _)| &name[..])
        .collect();
    assert!(said.len() == gate_plans::all().len() - 1 && silent.is_empty(), "{silent:?}");
    let all = said.iter().flat_map(|(_, flights)| flights.iter().flatten());
    assert_eq!(digest(&all.map(|message| &message[..]).collect::<Vec<_>>()), MADE);
}

#[test]
fn different_plans_have_different_hashes() {
    let mut hashes: HashSet<[u8; 32]> = gate_plans::all().iter().map(|c| c.plan.hash()).collect();
    let models = zoo::every_kind()
        .into_iter()
        .map(|(arch, batch, options)| zoo::specimen(arch, batch, options, 1).private.plan.hash());
    hashes.extend(models);
    assert_eq!(hashes.len(), gate_plans::all().len() + zoo::every_kind().len());
}
