//! Dependencies point down: `cargo metadata` and the manifests against the layers of the design.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Our packages by layer: each may depend on lower ones alone.
const LAYERS: [&[&str]; 8] = [
    &["sotto-ring"],
    &["sotto-crypto", "sotto-net"],
    &["sotto-protocols"],
    &["sotto-models"],
    &["sotto-netsim"],
    &["sotto-nas"],
    &["sotto", "sotto-cli"],
    &["sotto-tests", "sotto-bench", "sotto-attacks", "sotto-fuzz"],
];

/// Edges that point down but are not wanted.
const BARRED: [(&str, &str); 3] = [
    // `net` moves bytes, `crypto` makes them: neither knows tensors.
    ("sotto-net", "sotto-ring"),
    ("sotto-crypto", "sotto-ring"),
    // Models are traced; they open no sockets.
    ("sotto-models", "sotto-net"),
];

/// Who may use an asynchronous runtime or QUIC.
const ASYNCHRONOUS: [&str; 8] =
    ["tokio", "quinn", "quinn-proto", "rustls", "socket2", "async-std", "smol", "mio"];
const SOCKETS: [&str; 5] = ["sotto-net", "sotto-netsim", "sotto", "sotto-cli", "sotto-attacks"];

/// Sources of randomness.
const RANDOM: [&str; 6] = ["rand", "rand_core", "rand_chacha", "chacha20", "getrandom", "fastrand"];

/// The workspace's folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests are a member of the workspace").to_path_buf()
}

struct Edge {
    from: String,
    to: String,
    /// `normal`, `dev` or `build`.
    kind: String,
}

fn metadata() -> Value {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("cargo writes JSON")
}

fn edges() -> Vec<Edge> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let mut all = Vec::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let kind = match &dependency["kind"] {
                Value::Null => "normal".to_owned(),
                kind => text(kind),
            };
            all.push(Edge { from: text(&package["name"]), to: text(&dependency["name"]), kind });
        }
    }
    assert!(all.iter().any(|e| e.from == "sotto-models" && e.to == "sotto-protocols"));
    all
}

fn layer(package: &str) -> usize {
    let layer = LAYERS.iter().position(|names| names.contains(&package));
    layer.unwrap_or_else(|| panic!("`{package}` has no layer: give it one in this test"))
}

fn is_ours(package: &str) -> bool {
    package == "sotto" || package.starts_with("sotto-")
}

#[test]
fn dependencies_point_down() {
    for e in edges() {
        assert!(is_ours(&e.from), "`{}` is not named after the project", e.from);
        let from = layer(&e.from);
        if is_ours(&e.to) {
            assert!(layer(&e.to) < from, "{} depends on {} ({})", e.from, e.to, e.kind);
            let barred = BARRED.contains(&(&e.from, &e.to)) && e.kind != "dev";
            assert!(!barred, "{} must not depend on {}", e.from, e.to);
        }
    }
}

#[test]
fn the_lowest_layers_stay_small() {
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for e in edges().into_iter().filter(|e| e.kind != "dev") {
        of.entry(e.from).or_default().push(e.to);
    }
    assert!(!of.contains_key("sotto-ring"), "ring depends on {:?}", of["sotto-ring"]);
    for (from, to) in &of {
        for to in to {
            let asynchronous = ASYNCHRONOUS.contains(&&to[..]);
            assert!(!asynchronous || SOCKETS.contains(&&from[..]), "{from} depends on {to}");
            let random = RANDOM.contains(&&to[..]);
            assert!(
                !random || !["sotto-ring", "sotto-protocols"].contains(&&from[..]),
                "{from}: {to}"
            );
        }
    }
}

#[test]
fn programs_record_no_streams() {
    for package in metadata()["packages"].as_array().expect("a list of packages") {
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let features = dependency["features"].as_array().expect("a list of features");
            let records = features.iter().any(|f| f == "record");
            let test = dependency["kind"] == "dev";
            assert!(test || !records, "{} records streams", package["name"]);
        }
        let features = package["features"].as_object().expect("features by name");
        let passed_on = features.values().any(|f| f.to_string().contains("sotto-crypto/"));
        assert!(!passed_on, "a feature of {} may record streams", package["name"]);
    }
}

#[test]
fn every_member_shares_the_workspace_s_lints_and_edition() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("a list of packages") {
        let path = package["manifest_path"].as_str().expect("a path");
        let text = std::fs::read_to_string(path).expect("a manifest");
        for line in
            ["[lints]\nworkspace = true", "edition.workspace = true", "license.workspace = true"]
        {
            assert!(text.contains(line), "{} lacks `{line}`", package["name"]);
        }
    }
}
