//! Bad input: what the program says, and its exit code.

use std::path::Path;
use std::process::Command;

use crate::data::data;

/// Runs the program on `data`, with its output in `out`; returns its exit code and what it says.
fn refused(job: &str, data: &Path, out: &Path, more: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sotto-nas"));
    command.arg(job).arg("--data").arg(data).arg("--out").arg(out).args(more);
    let done = command.output().unwrap();
    (done.status.code().unwrap(), String::from_utf8_lossy(&done.stderr).into_owned())
}

fn check((code, said): (i32, String), expected: i32, parts: &[&str]) {
    assert_eq!(code, expected, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn bad_data_names_the_file_and_what_is_accepted() {
    let root = data("mpcvit-cifar10", "bad");
    let out = root.join("out");
    let train = |data: &Path| refused("train", data, &out, &["--arch", "vit_5_4_96"]);
    let batch = root.join("cifar-10-batches-bin/data_batch_3.bin");
    let whole = std::fs::read(&batch).unwrap();

    let archive = root.join("set.tar.gz");
    std::fs::write(&archive, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]).unwrap();
    check(train(&archive), 3, &["set.tar.gz: not a whole .tar.gz", "download it again"]);
    std::fs::write(&batch, &whole[..1000]).unwrap();
    check(train(&root), 3, &["data_batch_3.bin: ends at offset 1000", "(1000 of 3073 bytes)"]);
    std::fs::write(&batch, [&[10], &whole[1..]].concat()).unwrap();
    check(train(&root), 3, &["data_batch_3.bin: label 10 at offset 0", "labels 0 to 9"]);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let root = data("mpcvit-cifar10", "shared");
    let out = root.join("out");
    std::fs::create_dir_all(&out).unwrap();
    let held = std::fs::File::create(out.join("pid")).unwrap();
    held.lock().unwrap();
    let train = ["--arch", "vit_5_4_96", "--batch", "2", "--micro", "1", "--steps", "1"];
    for (job, more) in
        [("train", &train[..]), ("search", &["--arch", "vit_5_4_96", "--validate", "1"])]
    {
        let said = refused(job, &root, &out, more);
        check(said, 2, &["another process works there", "another --out"]);
    }
    drop(held);
    check(refused("train", &root, &out, &train), 0, &["stopped after step 1"]);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_checkpoint_of_another_architecture_or_recipe_is_not_gone_on_with() {
    let root = data("mpcvit-cifar10", "other");
    let out = root.join("out");
    let train = |more: &[&str]| {
        let common = ["--batch", "2", "--micro", "1", "--steps", "1"];
        refused("train", &root, &out, &[&common, more].concat())
    };
    check(train(&["--arch", "vit_5_4_96"]), 0, &["stopped after step 1"]);
    let other = train(&["--arch", "vit_7_4_128", "--resume"]);
    check(
        other,
        3,
        &["is of architecture vit_5_4_96", "this run's is vit_7_4_128", "another --out"],
    );
    let other = train(&["--arch", "vit_5_4_96", "--resume", "--epochs", "3", "--seed", "2"]);
    check(other, 3, &["epochs was 20, now 3, seed was 1, now 2", "another --out"]);
    let tiny = train(&["--arch", "vit_9_12_64"]);
    check(tiny, 3, &["vit_9_12_64 is for 64 x 64 pictures", "CIFAR-10 has 32 x 32 and 10"]);
    let preset = train(&["--preset", "mpcvit-cifar100"]);
    check(preset, 2, &["CIFAR-100, --data is CIFAR-10: take mpcvit-cifar10"]);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_budget_below_the_cheapest_architecture_is_refused_at_once() {
    let root = data("mpcvit-cifar10", "budget");
    let out = root.join("out");
    let more = ["--arch", "vit_5_4_96", "--net", "wan", "--budget", "10ms", "--validate", "2"];
    let (code, said) = refused("search", &root, &out, &more);
    check(
        (code, said),
        2,
        &["--budget 0.01 s", "the cheapest takes", "linear linear linear linear | none"],
    );
    assert!(!out.join("models").exists());
    std::fs::remove_dir_all(root).unwrap();
}
