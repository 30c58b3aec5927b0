//! `sotto simulate`.

use std::fs;

use serde_json::Value;

use crate::{Ran, sotto};

fn json(args: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let Ran { code, output, errors } = sotto(folder.path(), args);
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&output).expect("one JSON object")
}

#[test]
fn counts_are_the_plans_and_parts_sum_up() {
    let plan = json(&["plan", "demo", "--json"]);
    let simulated = json(&["simulate", "demo", "--net", "wan-cheetah", "--json"]);
    let (planned, p) = (&plan["planned"], &simulated["prediction"]);
    for count in ["setup_bytes", "offline_bytes", "online_bytes", "flights"] {
        assert_eq!(p[count], planned[count], "{count}");
    }
    let seconds = |v: &Value| v.as_f64().expect("a number");
    let layers = p["layers"].as_array().expect("layers");
    let sum: f64 = layers.iter().map(|l| seconds(&l["seconds"])).sum();
    assert!((sum / seconds(&p["online_s"]) - 1.0).abs() < 0.02, "{sum}");
    // 146 flights of at most 20 ms each, most of them waited for.
    assert!((2.0..4.0).contains(&seconds(&p["online_s"])), "{}", p["online_s"]);
    assert!(seconds(&p["total_s"]) > seconds(&p["online_s"]));
}

#[test]
fn without_a_dealer_counts_are_the_recipes() {
    let plan = json(&["plan", "demo", "--source", "peer", "--json"]);
    let simulated = json(&["simulate", "demo", "--source", "peer", "--net", "wan", "--json"]);
    let (planned, p) = (&plan["planned"], &simulated["prediction"]);
    for count in ["setup_bytes", "offline_bytes", "offline_flights", "online_bytes", "flights"] {
        assert_eq!(p[count], planned[count], "{count}");
    }
    assert_eq!(p["cots"], plan["cots"]);
    assert!(p["cots"].as_u64() > Some(1_000_000) && simulated["source"] == "peer");
    // Half of the bytes each way at 12.5 MB/s, and a delay for each flight.
    let least = p["offline_bytes"].as_f64().unwrap() / 25e6 + 30.0 * 0.02;
    assert!(p["offline_s"].as_f64().unwrap() > least, "{}", p["offline_s"]);
    let folder = tempfile::tempdir().expect("a folder");
    let args = ["simulate", "demo", "--source", "peer", "--svg", "t.svg"];
    let ran = sotto(folder.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.errors);
    assert!(ran.output.contains("correlated transfers"), "{}", ran.output);
    let picture = fs::read_to_string(folder.path().join("t.svg")).expect("drawn");
    assert!(picture.contains("client makes") && !picture.contains("dealer"));
    let ran = sotto(folder.path(), &["simulate", "demo", "--source", "peer", "--row-tables"]);
    assert!(ran.code == 2 && ran.errors.contains("dealer"), "{} {}", ran.code, ran.errors);
}

#[test]
fn a_network_of_ones_own_and_the_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let office = "[client_server]\nrtt = \"30ms\"\nup = \"20Mbps\"\ndown = \"100Mbps\"\n\
                  [server_dealer]\nrate = \"1Gbps\"\ndelay = \"1ms\"\n";
    fs::write(folder.path().join("office.toml"), office).expect("written");
    let args = ["simulate", "demo", "--net", "office.toml", "--svg", "t.svg"];
    let ran = sotto(folder.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.errors);
    for part in
        ["model setup", "offline", "online", "total", "by layer", "by kind of gate", "sustained"]
    {
        assert!(ran.output.contains(part), "{part}: {}", ran.output);
    }
    let picture = fs::read_to_string(folder.path().join("t.svg")).expect("drawn");
    assert!(picture.starts_with("<svg") && picture.contains("layer 6"));
    let flags = ["--rtt", "30ms", "--up", "20Mbps", "--down", "100Mbps", "--jitter", "2ms"];
    let ran = sotto(folder.path(), &[&["simulate", "demo"], &flags[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.errors);
    assert!(ran.output.contains("lan with rtt 30ms, up 20Mbps, down 100Mbps, jitter 2ms"));
}

#[test]
fn what_is_not_usable_is_refused_with_what_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("machine.json"), "{\"version\": 1}").expect("written");
    for (args, hint) in [
        (&["--net", "wlan"][..], "wan-cheetah"),
        (&["--up=-3Mbps"], "100Mbps"),
        (&["--rtt", "fast"], "20ms"),
        (&["--loss", "200%"], "less than 100%"),
        (&["--machine", "machine.json"], "calibrate-machine"),
        (&["--net", "missing.toml"], "missing.toml"),
    ] {
        let ran = sotto(folder.path(), &[&["simulate", "demo"], args].concat());
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.errors);
        assert!(ran.errors.contains(hint), "{args:?}: {}", ran.errors);
    }
    let ran = sotto(folder.path(), &["simulate", "nothing"]);
    assert!(ran.code == 2 && ran.errors.contains("vit_cifar"), "{}", ran.errors);
}

#[test]
fn a_profile_of_another_version_names_the_gate_it_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut machine: Value =
        serde_json::from_str(include_str!("../../../netsim/src/reference.json")).expect("JSON");
    machine["gates"].as_object_mut().expect("gates").remove("exp");
    fs::write(folder.path().join("old.json"), machine.to_string()).expect("written");
    let ran = sotto(folder.path(), &["simulate", "demo", "--machine", "old.json"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.errors.contains("`exp`") && ran.errors.contains("calibrate-machine"),
        "{}",
        ran.errors
    );
}

#[test]
fn networks_are_listed_with_their_numbers_and_changed_by_options() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = sotto(folder.path(), &["simulate", "--help"]);
    for (name, what) in sotto_netsim::PRESETS {
        assert!(
            help.output.contains(name) && help.output.contains(what),
            "{name}: {}",
            help.output
        );
    }
    let seconds = |args: &[&str]| {
        let all = json(&[&["simulate", "demo", "--json"], args].concat());
        let of = |what: &str| all["prediction"][what].as_f64().expect("seconds");
        [of("setup_s"), of("offline_s"), of("online_s")]
    };
    let wan = seconds(&["--net", "wan"]);
    let worse = seconds(&["--net", "wan", "--jitter", "2ms", "--loss", "1%"]);
    assert!(worse[2] > wan[2], "it is the same network, and worse: {worse:?}, {wan:?}");
    let near = seconds(&["--net", "wan", "--rtt", "1ms"]);
    assert!(near[2] < wan[2] / 2.0 && near[0] > wan[0] / 2.0, "its rate stays: {near:?}, {wan:?}");
    let narrow = seconds(&["--net", "wan", "--down", "10Mbps"]);
    assert!(narrow[0] > 5.0 * wan[0], "the setup goes down: {narrow:?}, {wan:?}");
    assert!(narrow[1] < 1.5 * wan[1], "the dealer's rate to the server stays: {narrow:?}, {wan:?}");
}
