//! What is published: whole packages, whose dependencies are published too, and a client without a command line.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::{
    layers::{metadata, resolved, root, way},
    sources::{is_product, sources},
};

/// What a program gets without asking for it: nothing of the command line, of other networks and devices.
const NO_COMMANDS: [&str; 12] = [
    "sotto",
    "sotto-netsim",
    "sotto-gpu",
    "clap",
    "clap_complete",
    "comfy-table",
    "indicatif",
    "ctrlc",
    "hyper",
    "prometheus-client",
    "tracing-subscriber",
    "mimalloc",
];

/// Packages that may be published.
fn published() -> Vec<Value> {
    let all = metadata()["packages"].as_array().expect("a list of packages").clone();
    all.into_iter().filter(|package| package["publish"].is_null()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn the_client_brings_no_command_line() {
    let edges = resolved();
    let found = way(&edges, "sotto-client", &NO_COMMANDS);
    assert!(found.is_none(), "{found:?}");
    for barred in NO_COMMANDS.iter().skip(1) {
        assert!(
            way(&edges, "sotto", &[barred]).is_some(),
            "the program has no `{barred}` any more"
        );
    }
}

#[test]
fn published_packages_depend_on_published_ones_by_version() {
    let packages = published();
    let names: BTreeSet<&str> = packages.iter().map(|package| text(&package["name"])).collect();
    assert!(names.contains("sotto") && names.contains("sotto-client"), "{names:?}");
    for package in &packages {
        for field in ["description", "license", "readme"] {
            assert!(!text(&package[field]).is_empty(), "{} has no {field}", package["name"]);
        }
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            if dependency["path"].is_null() {
                continue;
            }
            let (from, to) = (text(&package["name"]), text(&dependency["name"]));
            assert!(names.contains(to), "{from} is published, {to} is not");
            assert!(text(&dependency["req"]) != "*", "{from} takes {to} by its path alone");
        }
    }
}

#[test]
fn published_packages_have_what_they_include() {
    let sources = sources();
    let mut count = 0;
    for package in published() {
        let folder = Path::new(text(&package["manifest_path"])).parent().expect("a folder");
        for license in ["LICENSE-MIT", "LICENSE-APACHE"] {
            assert!(folder.join(license).is_file(), "{} has no {license}", package["name"]);
        }
        let folder = fs::canonicalize(folder).expect("a folder");
        let within =
            |path: &str| root().join(path).canonicalize().is_ok_and(|p| p.starts_with(&folder));
        for source in sources.iter().filter(|s| is_product(&s.path) && within(&s.path)) {
            let beside = root().join(&source.path);
            let beside = beside.parent().expect("a file lies in a folder");
            let paths = source.text.split("include_").skip(1).filter_map(|rest| {
                let rest = rest.strip_prefix("str!(\"").or(rest.strip_prefix("bytes!(\""))?;
                rest.split('"').next()
            });
            for path in paths {
                let file = beside.join(path).canonicalize().expect("an included file");
                assert!(file.starts_with(&folder), "{}: {path} is not packaged", source.path);
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count} files");
}
