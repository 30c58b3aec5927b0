//! The script for a card, in small: slice after slice it ends where one call without slices does.

use std::path::Path;
use std::process::Command;

use sotto_models::Arch;

use crate::data::data;

/// Calls the script until the report is there; returns what it found, without clocks, and the number of calls.
fn searched(root: &Path, name: &str, slice: &str) -> (serde_json::Value, usize) {
    let out = root.join(name);
    let options = "--device cpu --workers 2 --batch 2 --micro 1 --pareto 1 --teacher-epochs 2 --supernet-epochs 2 \
                   --search-epochs 1 --epochs 2 --validate 2 --polish 2 --calibrate 2";
    let mut calls = 0;
    while !out.join("report.html").exists() {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/paper.sh"));
        command.env("NAS", env!("CARGO_BIN_EXE_sotto-nas")).env_remove("SOTTO");
        command.arg(root).arg(&out).args(options.split_whitespace());
        command.arg("--arch").arg(root.join("arch.toml")).args(["--slice", slice]);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        let (last, over) = (said.lines().last().unwrap_or(""), out.join("report.html").exists());
        assert!(over || last.contains("--resume goes on"), "{said}");
        calls += 1;
        assert!(calls < 100, "no call comes to an end: {said}");
    }
    let text = std::fs::read_to_string(out.join("search.json")).unwrap();
    let mut found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["commands"].as_array().unwrap().len(), 1);
    found["commands"].take();
    for model in found["models"].as_object_mut().unwrap().values_mut() {
        model["runs"].as_array_mut().unwrap().iter_mut().for_each(|run| {
            run["seconds"].take();
        });
    }
    (found, calls)
}

#[test]
fn the_script_for_a_card_goes_on_to_the_very_numbers() {
    let root = data("mpcvit-cifar10", "paper");
    let cifar = Arch::vit_cifar();
    let small = Arch { mean: cifar.mean, std: cifar.std, ..Arch::vit(2, 2, 16, 32, 32, 8, 10) };
    std::fs::write(root.join("arch.toml"), small.to_toml()).unwrap();
    let (whole, calls) = searched(&root, "whole", "1000");
    assert_eq!(calls, 1);
    // A slice that is over at once still takes a step.
    let (parts, calls) = searched(&root, "parts", "0.001");
    assert!(calls > 3, "{calls} calls");
    assert_eq!(parts, whole);
    std::fs::remove_dir_all(root).unwrap();
}
