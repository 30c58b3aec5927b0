//! MPCViT's sizes take a step on tiny data sets in the official formats.

use std::path::Path;
use std::process::Command;

use clap::Parser as _;
use sotto_nas::config::{Config, Options};
use sotto_nas::data::DataSet;
use sotto_nas::train::Trainer;
use sotto_nas::{device, presets};

use crate::data::data;

/// Runs `sotto-nas train` up to a step; returns what it says.
fn train(preset: &str, root: &Path, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sotto-nas"));
    command.args(["train", "--preset", preset, "--batch", "2", "--micro", "1"]);
    command.arg("--data").arg(root).arg("--out").arg(root.join("out")).args(more);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    said
}

/// One step by the program, a resumed one, and one with kinds drawn at random, as the supernet's are.
fn steps(preset: &str, parameters: usize) {
    let root = data(preset, preset);
    let said = train(preset, &root, &["--steps", "1"]);
    assert!(said.contains(&format!("{parameters} parameters")), "{said}");
    assert!(said.contains("stopped after step 1 "), "{said}");
    let said = train(preset, &root, &["--steps", "2", "--resume"]);
    assert!(said.contains("stopped after step 2 "), "{said}");

    let line = format!("train --preset {preset} --data d --out o --batch 2 --micro 1");
    let mut config = Config::new(Options::parse_from(line.split(' '))).unwrap();
    (config.out, config.recipe.drawn) = (root.join("supernet"), true);
    (config.teacher, config.recipe.distilled) = (Some(root.join("out")), true);
    std::fs::create_dir_all(&config.out).unwrap();
    let data = DataSet::read(&root).unwrap();
    let arch = presets::fit(presets::find(&config.arch).unwrap(), &data).unwrap();
    let mut trainer = Trainer::new(config, arch, device::find("cpu").unwrap()).unwrap();
    let before = trainer.weights();
    trainer.run(&data, Some(1)).unwrap();
    assert_eq!(trainer.step(), 1);
    let after = trainer.weights();
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!(moved == before.len(), "{moved} of {} tensors moved", before.len());
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn mpcvits_cifar_10_model_takes_steps() {
    steps("mpcvit-cifar10", 3_716_874);
}

#[test]
fn mpcvits_cifar_100_model_takes_steps() {
    steps("mpcvit-cifar100", 3_740_004);
}

#[test]
fn mpcvits_tiny_imagenet_model_takes_steps() {
    steps("mpcvit-tiny", 2_765_960);
}
