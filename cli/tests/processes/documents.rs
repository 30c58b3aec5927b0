//! The configurations of docs/hosts.md work as they are printed.

use std::fs;

use crate::parties::{LOCAL, Parties, program};
use crate::spawned::Process;

const PAGE: &str = include_str!("../../../docs/hosts.md");

/// The page's TOML blocks: dealer, server, client; with what is commented out where `all`, but for what is of a model
/// or of texts.
fn blocks(all: bool) -> Vec<String> {
    let blocks = PAGE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let of_others = ["model =", "length =", "[[models]]", "name =", "models ="];
    let other = |option: &str| of_others.iter().any(|begins| option.starts_with(begins));
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(option) if all && !other(option) => option.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    blocks.map(|block| block.lines().map(line).collect()).collect()
}

/// What the page says of a configuration without a dealer: no `[dealer]` table, the source on the first line.
fn without_dealer(block: &str) -> String {
    let tables = block.split("\n\n").filter(|table| !table.starts_with("[dealer]"));
    format!("source = \"peer\"\n{}", tables.collect::<Vec<_>>().join("\n\n"))
}

/// `sotto init` writes what the page prints.
#[test]
fn the_page_prints_what_init_writes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/init");
    for (name, block) in ["dealer", "server", "client"].iter().zip(blocks(false)) {
        let template = fs::read_to_string(format!("{folder}/{name}.toml")).unwrap();
        assert_eq!(template, block, "{name}.toml");
    }
}

#[test]
fn two_hosts_without_a_dealer_as_printed() {
    let parties = Parties::new();
    fs::create_dir(parties.path("keys")).unwrap();
    for name in ["server", "client"] {
        parties.sotto(&["keygen", name, "--out", &parties.text("keys")]);
    }
    let blocks = blocks(false);
    let here = blocks[1].replace("0.0.0.0:7101", &LOCAL.to_string());
    // A smaller model than the page's is made as well.
    let text = without_dealer(&here).replace("model = \"demo\"", "model = \"model\"");
    parties.write("server.toml", text.as_bytes());
    let (_server, server) = parties.start_server(&parties.text("server.toml"));
    let client = without_dealer(&blocks[2]).replace("192.0.2.11:7101", &server.to_string());
    parties.write("client.toml", client.as_bytes());
    let images = parties.text("images.bin");
    let done = parties.infer(&parties.text("client.toml"), &["--limit", "2", &images]);
    assert_eq!(done.classes().len(), 2);
}

#[test]
fn three_hosts_as_printed() {
    let parties = Parties::new();
    let keys = parties.path("keys");
    fs::create_dir(&keys).unwrap();
    for name in ["dealer", "server", "client"] {
        parties.sotto(&["keygen", name, "--out", &parties.text("keys")]);
    }
    for all in [false, true] {
        let blocks = blocks(all);
        assert_eq!(blocks.len(), 3);
        let start = |name: &'static str, command: &str, text: &str| {
            parties.write(&format!("{name}.toml"), text.as_bytes());
            let config = parties.text(&format!("{name}.toml"));
            let mut process = Process::start(name, program().args([command, "--config", &config]));
            let at = process.address();
            (process, at)
        };
        let here = |text: &str| {
            let any = LOCAL.to_string();
            ["0.0.0.0:7100", "0.0.0.0:7101", "127.0.0.1:9100", "127.0.0.1:9101"]
                .iter()
                .fold(text.to_owned(), |text, at| text.replace(at, &any))
        };
        let (_dealer, dealer) = start("dealer", "deal", &here(&blocks[0]));
        let at_dealer = |text: &str| text.replace("192.0.2.10:7100", &dealer.to_string());
        let (_server, server) = start("server", "serve", &at_dealer(&here(&blocks[1])));
        let client = at_dealer(&blocks[2]).replace("192.0.2.11:7101", &server.to_string());
        parties.write("client.toml", client.as_bytes());
        let images = parties.text("images.bin");
        let done = parties.infer(&parties.text("client.toml"), &["--limit", "2", &images]);
        assert_eq!(done.classes().len(), 2);
    }
}
