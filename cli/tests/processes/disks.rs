//! Batches that server and client made, and that wait on the disks of both: over restarts, copies, crashes and damage each is used once.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::Value;

use crate::{
    parties::{Parties, wait_until},
    spawned::{Log, Outcome, Process},
};

const SERVER: &str = "pool = 2\npool_folder = \"server-pool\"\n";
const CLIENT: &str = "pool = 2\npool_folder = \"client-pool\"\n";

/// A server and a client's configuration, with a pool folder each.
fn both(parties: &Parties, at: Option<SocketAddr>) -> (Process, SocketAddr, String) {
    let (process, server) = parties.peer_server(SERVER, at);
    (process, server, parties.peer_client("client", CLIENT, server))
}

/// Files of an ending in a folder.
fn files(folder: &Path, ending: &str) -> Vec<String> {
    let Ok(all) = fs::read_dir(folder) else { return Vec::new() };
    let names = all.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|n| n.ends_with(ending)).collect();
    names.sort();
    names
}

/// What lies on the disk of a party: names of batches, which have their keys beside them.
fn waiting(parties: &Parties, party: &str) -> Vec<String> {
    let batches = files(&parties.path(&format!("{party}-pool")), ".batch");
    let keys = files(&parties.path(&format!("{party}-pool.keys")), ".key");
    assert_eq!(batches.len(), keys.len());
    batches
}

fn fill(parties: &Parties, config: &str) -> Outcome {
    let done = parties.infer(config, &["--fill"]);
    assert_eq!(done.code, 0, "{}", done.err);
    done
}

/// Classifies pictures; gives the classes, and which of them used a batch that had waited.
fn infer(parties: &Parties, config: &str, count: usize) -> (Vec<u64>, Vec<bool>) {
    let count = count.to_string();
    let done = parties.infer(config, &["--limit", &count, &parties.text("images.bin")]);
    let waited = |r: &Value| r["costs"]["waited"].as_bool().unwrap();
    (done.classes(), done.results().iter().map(waited).collect())
}

/// Names of the batches that a server took off its disk.
fn woken(log: &Log) -> Vec<String> {
    let text = log.text();
    let names = text.lines().filter_map(|line| line.split("waited on the disk, ").nth(1));
    names.map(str::to_owned).collect()
}

#[test]
fn a_batch_on_both_disks_outlives_both_processes_and_is_used_at_once() {
    let parties = Parties::new();
    let (mut first, server, config) = both(&parties, None);
    let expected = infer(&parties, &config, 4);
    assert_eq!(expected.1, [false; 4], "nothing waited");
    let filled: Value = serde_json::from_str(&fill(&parties, &config).out).unwrap();
    assert_eq!(filled["waiting"], 2);
    let names = waiting(&parties, "server");
    assert_eq!((names.len(), &waiting(&parties, "client")), (2, &names));
    first.kill();
    let (second, ..) = both(&parties, Some(server));
    let done = parties.infer(&config, &["--limit", "2", &parties.text("images.bin")]);
    assert_eq!(done.classes(), expected.0[..2]);
    let all: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(all["setup"]["setup_bytes"], 0, "nothing is set up where nothing is made");
    for result in done.results() {
        let costs = &result["costs"];
        assert_eq!(costs["waited"], true);
        assert_eq!(costs["setup_bytes"], 0);
        assert!(costs["offline_bytes"].as_u64().unwrap() > 0, "they crossed before");
        assert!(costs["offline_s"].as_f64().unwrap() < 1.0, "{costs}");
    }
    for party in ["server", "client"] {
        assert_eq!(waiting(&parties, party), [""; 0], "what is used is gone");
    }
    let used = woken(&second.log);
    assert_eq!(used.len(), 2);
    assert!(names.iter().all(|name| used.iter().any(|used| name.starts_with(used))));
    // The third is made.
    assert_eq!(infer(&parties, &config, 1), (expected.0[..1].to_vec(), vec![false]));
}
