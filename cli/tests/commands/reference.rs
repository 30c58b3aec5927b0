//! `sotto reference`.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{Ran, sotto};

/// One run of each kind is enough here.
fn json(folder: &Path, args: &[&str]) -> Value {
    let args = [&["reference"], args, &["--quick", "--json"]].concat();
    let Ran { code, output, errors } = sotto(folder, &args);
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&output).expect("one JSON object")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The demo's images on a device, beside the float reference.
fn holds(device: &str, precision: &str, most: f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let args = ["--device", device, "--precision", precision, "--profile", "--batch", "5"];
    let found = json(folder.path(), &args);
    assert!(number(&found["largest_error"]) < most, "{}", found["largest_error"]);
    assert_eq!((&found["inputs"], &found["same"]), (&16.into(), &16.into()));
    assert_eq!(found["results"].as_array().map(Vec::len), Some(16));
    assert_eq!((&found["device"], &found["precision"]), (&device.into(), &precision.into()));
    for positive in ["one_s", "batch_s", "per_second", "bytes_per_second", "operations_per_second"]
    {
        assert!(number(&found[positive]) > 0.0, "{positive}");
    }
    // One launch embeds, two read the result, and each layer has a norm and a product before each of its two steps.
    let launches = found["launches"].as_array().expect("this device has a clock");
    let of = |kernel: &str| launches.iter().filter(|l| l["kernel"] == kernel).count();
    assert_eq!(
        (of("embed"), of("norm") % 2, launches[0]["section"].as_str()),
        (1, 1, Some("patch embedding"))
    );
    let sum: f64 = launches.iter().map(|l| number(&l["operations"])).sum();
    assert_eq!(sum, 5.0 * number(&found["operations"]));
}

#[test]
fn the_processor_computes_what_the_float_reference_does() {
    holds("cpu", "f32", 1e-4);
    let folder = tempfile::tempdir().expect("a folder");
    let ran = sotto(folder.path(), &["reference", "--quick", "--limit", "2", "--profile"]);
    assert_eq!(ran.code, 0, "{}", ran.errors);
    for part in [
        "one input",
        "batch of 16",
        "of what the device allows",
        "the same classes in 2 of 2",
        "attention",
    ] {
        assert!(ran.output.contains(part), "{part}: {}", ran.output);
    }
}

#[test]
fn texts_of_all_lengths() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny");
    let folder = tempfile::tempdir().expect("a folder");
    let ran = sotto(folder.path(), &["import", &tiny.display().to_string(), "--out", "m"]);
    assert_eq!(ran.code, 0, "{}", ran.errors);
    let found = json(folder.path(), &["m", "--limit", "3"]);
    assert!(number(&found["largest_error"]) < 1e-4 && found["inputs"] == 3);
    fs::write(folder.path().join("t.txt"), "a\nthe cat sat\na cat\n").expect("written");
    let found = json(folder.path(), &["m", "--text", "t.txt"]);
    assert!(number(&found["largest_error"]) < 1e-4 && found["inputs"] == 3);
    let ran = sotto(folder.path(), &["reference", "m", "--images", "a.png"]);
    assert_eq!((ran.code, ran.errors.contains("takes texts")), (3, true), "{}", ran.errors);
}

/// A refusal is one line that names what can be done.
fn refused(args: &[&str], parts: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = sotto(folder.path(), &[&["reference", "--quick"], args].concat());
    assert_eq!(ran.code, 2, "{args:?}: {}", ran.errors);
    // The loader of Vulkan drivers has lines of its own.
    let ours: Vec<&str> = ran.errors.lines().filter(|l| l.starts_with("error: ")).collect();
    let said = ours.last().expect("an error is told");
    assert!(parts.iter().all(|part| said.contains(part)), "{args:?}: {}", ran.errors);
    assert!(!ran.errors.contains("panicked"), "{}", ran.errors);
}

#[test]
fn what_no_device_can_do_is_refused_with_a_remedy() {
    refused(&["--device", "tpu"], &["no device `tpu`", "cpu, gpu"]);
    refused(&["--precision", "f16"], &["f16", "--device"]);
    refused(&["--precision", "f8"], &["f8", "f32, f16 or bf16"]);
    refused(&["--batch", "4000000000"], &["4000000000", "MB", "smaller --batch"]);
    refused(&["--limit", "0"], &["limit"]);
    refused(&["nowhere"], &["nowhere/arch.toml"]);
}

#[test]
fn devices_are_listed_with_what_they_lack() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = sotto(folder.path(), &["reference", "--device", "list"]);
    assert_eq!(ran.code, 0, "{}", ran.errors);
    let line = |name: &str| ran.output.lines().find(|l| l.starts_with(name)).unwrap_or_default();
    assert!(line("cpu").contains("f32"), "{}", ran.output);
    assert_eq!(
        line("gpu").contains("--features gpu"),
        cfg!(not(feature = "gpu")),
        "{}",
        ran.output
    );
    let ran = sotto(folder.path(), &["reference", "--device", "list", "--json"]);
    let all: Value = serde_json::from_str(&ran.output).expect("a JSON list");
    assert_eq!(all[0]["device"], "cpu");
    assert_eq!(all[1]["missing"].is_null(), cfg!(feature = "gpu"));
}

#[cfg(not(feature = "gpu"))]
#[test]
fn a_gpu_is_built_in_by_a_feature() {
    refused(&["--device", "gpu"], &["without the device `gpu`", "--features gpu"]);
}

/// A Vulkan driver must be there: one that needs no GPU is enough.
#[cfg(feature = "gpu")]
mod on_vulkan {
    use super::*;

    #[test]
    fn a_gpu_computes_what_the_float_reference_does() {
        holds("gpu", "f32", 1e-4);
        holds("gpu", "f16", 0.05);
    }

    #[test]
    fn a_gpu_takes_no_more_than_it_has_room_for() {
        refused(&["--device", "gpu", "--batch", "4000000"], &["smaller --batch"]);
    }

    #[test]
    fn a_machine_without_a_driver_says_what_to_install() {
        // What the loader of Vulkan drivers looks for is not there.
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sotto"));
        command.args(["reference", "--device", "gpu"]).env("VK_DRIVER_FILES", "/dev/null");
        let done = command.env("VK_ICD_FILENAMES", "/dev/null").output().expect("it starts");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(said.contains("no GPU on this machine") && said.contains("--device cpu"), "{said}");
    }
}
