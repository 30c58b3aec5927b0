//! Dependencies point down: `cargo metadata` and the manifests against the layers of the design.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::sources::{product_code, sources};

/// Our packages by layer: each may depend on lower ones alone.
const LAYERS: [&[&str]; 11] = [
    &["sotto-ring", "sotto-link"],
    &["sotto-crypto", "sotto-net"],
    &["sotto-ot", "sotto-lattice"],
    &["sotto-protocols"],
    &["sotto-models"],
    &["sotto-netsim", "sotto-import", "sotto-gpu", "sotto-wasm"],
    &["sotto-session"],
    &["sotto-client"],
    &["sotto-nas"],
    &["sotto", "sotto-cli"],
    &["sotto-tests", "sotto-bench", "sotto-attacks", "sotto-fuzz"],
];

/// Edges that point down but are not wanted.
const BARRED: [(&str, &str); 7] = [
    // `net` moves bytes and knows no tensors; nor does `crypto`, which makes them ([`crypto_takes_a_cipher_from_ring`]).
    ("sotto-net", "sotto-ring"),
    // Models are traced; they open no sockets and meet no peer.
    ("sotto-models", "sotto-net"),
    ("sotto-models", "sotto-link"),
    // Importers read files and meet no peer.
    ("sotto-import", "sotto-net"),
    ("sotto-import", "sotto-link"),
    // The plaintext reference knows models and devices, and no party.
    ("sotto-gpu", "sotto-protocols"),
    ("sotto-gpu", "sotto-net"),
];

/// What a party is made of: it compiles where there are no sockets.
const PARTY: [&str; 8] = [
    "sotto-ring",
    "sotto-link",
    "sotto-crypto",
    "sotto-ot",
    "sotto-lattice",
    "sotto-protocols",
    "sotto-models",
    "sotto-wasm",
];

/// Runtimes, sockets, QUIC and TLS. `ring` is the TLS provider, not our crate.
const SOCKETS: [&str; 12] = [
    "sotto-net",
    "tokio",
    "mio",
    "async-std",
    "smol",
    "socket2",
    "quinn",
    "quinn-proto",
    "quinn-udp",
    "rustls",
    "rcgen",
    "ring",
];

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

/// What cargo says of the workspace alone.
pub fn metadata() -> Value {
    asked(&["metadata", "--no-deps", "--offline", "--format-version", "1"])
}

fn asked(arguments: &[&str]) -> Value {
    let out = Command::new(env!("CARGO"))
        .args(arguments)
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
            let random = RANDOM.contains(&&to[..]);
            assert!(
                !random || !["sotto-ring", "sotto-protocols"].contains(&&from[..]),
                "{from}: {to}"
            );
        }
    }
}

/// The platform that we are built on: of others not every package is here.
fn host() -> String {
    let out = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

/// By package, what it is built with: the edges that cargo resolved, tests' own left out.
pub fn resolved() -> BTreeMap<String, BTreeSet<String>> {
    let platform = host();
    let arguments = ["--offline", "--locked", "--format-version", "1", "--filter-platform"];
    let all = asked(&[&["metadata"][..], &arguments, &[&platform]].concat());
    let list = |v: &Value| v.as_array().expect("a list").clone();
    let text = |v: &Value| v.as_str().expect("a text").to_owned();
    let packages = list(&all["packages"]);
    let name: BTreeMap<String, String> =
        packages.iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let built = |dependency: &Value| {
        list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].as_str() != Some("dev"))
    };
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in list(&all["resolve"]["nodes"]) {
        let to = list(&node["deps"]).into_iter().filter(built);
        let to = to.map(|dependency| name[&text(&dependency["pkg"])].clone());
        edges.entry(name[&text(&node["id"])].clone()).or_default().extend(to);
    }
    edges
}

/// The way from `package` to one of `barred`, if there is one.
pub fn way(
    edges: &BTreeMap<String, BTreeSet<String>>,
    package: &str,
    barred: &[&str],
) -> Option<String> {
    let mut ways = BTreeMap::from([(package.to_owned(), package.to_owned())]);
    let mut todo = vec![package.to_owned()];
    while let Some(at) = todo.pop() {
        for to in &edges[&at] {
            let way = format!("{} -> {to}", ways[&at]);
            if barred.contains(&&to[..]) {
                return Some(way);
            }
            if !ways.contains_key(to) {
                ways.insert(to.clone(), way);
                todo.push(to.clone());
            }
        }
    }
    None
}

#[test]
fn a_party_is_built_without_sockets() {
    let edges = resolved();
    for package in PARTY {
        assert_eq!(way(&edges, package, &SOCKETS), None);
    }
    // Whoever has sockets is found, over an edge of another's.
    let found = way(&edges, "sotto-netsim", &["tokio"]).expect("it emulates networks");
    assert!(found.starts_with("sotto-netsim -> ") && found.ends_with(" -> tokio"), "{found}");
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

#[test]
fn crypto_takes_a_cipher_from_ring() {
    let mut uses = 0;
    for source in sources().iter().filter(|source| source.path.starts_with("crates/crypto/src")) {
        let code = product_code(&source.text);
        for (at, name) in code.match_indices("sotto_ring") {
            uses += 1;
            let path = &source.path;
            assert!(code[at + name.len()..].starts_with("::chacha::"), "{path}: more of `ring`");
        }
    }
    assert!(uses > 0, "the edge is not needed any more: it is barred");
}
