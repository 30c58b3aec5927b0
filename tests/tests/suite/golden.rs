//! The hashes of the presets' plans, written down.
//!
//! A change here is a change of what the parties say to each other: programs before and after it refuse each other.
//! Where that is meant, the version in `cli/src/messages.rs` goes up, and the table becomes what the test prints.

use std::collections::HashSet;

use sotto_models::{
    Arch, Calibration, Private,
    arch::Attention,
    calibration::{Range, hex},
    format::MaxKind,
    private::{Options, Reveal, Tables},
};

use crate::{gate_plans, zoo};

/// Model, options, images, and the first bytes of the hash.
const HASHES: [(&str, &str, usize, &str); 17] = [
    ("demo", "", 1, "4b86738df3ac9b26"),
    ("demo", "p", 1, "c9af9bb7f72e028d"),
    ("demo", "c", 1, "a6e5c61bfc349955"),
    ("demo", "r", 1, "8d8141b1a69362d0"),
    ("demo", "pcr", 4, "0269895cec388b08"),
    ("demo", "", 64, "b947d5d9826a7206"),
    ("vit_cifar softmax", "", 1, "e4acc0a672d595b9"),
    ("vit_cifar relu", "", 1, "c946b6536a849c89"),
    ("vit_cifar linear", "", 1, "0d4a622a263270ed"),
    ("vit_cifar softmax", "pcr", 1, "724f732528f39376"),
    ("vit_cifar softmax", "c", 2, "f6a1816427fa3dd3"),
    ("vit_tiny softmax", "", 1, "f5388d47394f2bbd"),
    ("vit_tiny relu", "", 1, "5ee7662ddec91ed8"),
    ("vit_tiny linear", "", 1, "bf3949105cb705c4"),
    ("vit_tiny softmax", "pcr", 1, "6463bc1f25955dd0"),
    ("vit_tiny softmax", "c", 2, "2dc91db8f332ce93"),
    ("vit_cifar relu", "c", 1, "425b0127aa3d2930"),
];

/// The options of a word: `p`ublic maximum, `c`lass, `r`ow tables.
fn options(word: &str) -> Options {
    Options {
        max: if word.contains('p') { MaxKind::Public } else { MaxKind::Coarse },
        reveal: if word.contains('c') { Reveal::Class } else { Reveal::Logits },
        tables: if word.contains('r') { Tables::Rows } else { Tables::Pieces },
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
        Calibration { images: 1, weights: String::new(), groups: Vec::new(), layers },
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

#[test]
fn different_plans_have_different_hashes() {
    let mut hashes: HashSet<[u8; 32]> = gate_plans::all().iter().map(|c| c.plan.hash()).collect();
    let models = zoo::every_kind()
        .into_iter()
        .map(|(arch, batch, options)| zoo::specimen(arch, batch, options, 1).private.plan.hash());
    hashes.extend(models);
    assert_eq!(hashes.len(), gate_plans::all().len() + zoo::every_kind().len());
}
