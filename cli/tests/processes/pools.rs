//! Pools of correlations: filled ahead, private, used once, independent of the dealer while they last.

use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

use sotto::error::Error;
use sotto_models::images::{Fit, Picture, load};

use crate::{
    parties::{DEADLINE, Parties, wait_until},
    spawned::Process,
};

/// Files of batches in a folder.
fn waiting(parties: &Parties, folder: &str) -> Vec<String> {
    let Ok(all) = fs::read_dir(parties.path(folder)) else {
        return Vec::new();
    };
    let names = all.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|n| n.ends_with(".batch")).collect();
    names.sort();
    names
}

fn pictures(parties: &Parties, client: &sotto::client::Client) -> Vec<Picture> {
    load(&parties.path("images.bin"), &client.private.arch, Fit::Exact, 8).unwrap()
}

#[test]
fn a_pool_in_memory_outlives_the_dealer() {
    let parties = Parties::new();
    let (mut dealer_process, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("pool = 3\n", dealer, None);
    let config = parties.client_config("client", "pool = 3\n", [server, dealer]);
    let mut client = parties.connect(&config);
    server_process.log.wait_for("3 ready", 1);
    wait_until("a full pool", || client.ready() == 3);
    dealer_process.kill();
    let pictures = pictures(&parties, &client);
    for picture in &pictures[..3] {
        let start = Instant::now();
        client.classify(std::slice::from_ref(picture)).unwrap();
        assert!(start.elapsed().as_secs() < DEADLINE / 2, "it waited for the dealer");
    }
    let start = Instant::now();
    let exhausted = client.classify(&pictures[3..4]).unwrap_err();
    assert!(matches!(exhausted, Error::Exhausted { .. } | Error::Refused { .. }), "{exhausted}");
    let text = exhausted.to_string();
    assert!(text.contains("dealer") && text.contains("start the dealer"), "{text}");
    assert!(start.elapsed().as_secs() <= DEADLINE + 1);
    assert_eq!(server_process.log.batches(), [0, 1, 2]);
    client.leave();
}

#[test]
fn a_pool_on_disk_outlives_processes_and_is_never_used_twice() {
    let parties = Parties::new();
    let (mut dealer_process, dealer) = parties.dealer("", None);
    let lines = "pool = 3\npool_folder = \"pool\"\n";
    let (mut first, server) = parties.server(lines, dealer, None);
    let config =
        parties.client_config("client", "pool = 3\npool_folder = \"mine\"\n", [server, dealer]);
    let full = |parties: &Parties| {
        waiting(parties, "pool/client").len() == 2 && waiting(parties, "mine").len() == 2
    };
    let mut client = parties.connect(&config);
    // One of the three is staged: it has left the disk already.
    wait_until("full pools", || full(&parties));
    for folder in ["pool/client", "mine"] {
        assert_eq!(parties.path(folder).metadata().unwrap().permissions().mode() & 0o777, 0o700);
        for file in waiting(&parties, folder) {
            let path = parties.path(folder).join(file);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    let before = waiting(&parties, "pool/client");
    let pictures = pictures(&parties, &client);
    client.classify(&pictures[..1]).unwrap();
    wait_until("full pools", || full(&parties));
    assert_ne!(waiting(&parties, "pool/client"), before, "what was staged has left the disk");
    client.leave();
    let mut used = first.log.batches();

    // The server is started again: it goes on with what waits on its disk.
    first.kill();
    let (second, again) = parties.server(lines, dealer, Some(server));
    assert_eq!(again, server);
    let mut client = parties.connect(&config);
    for picture in &pictures[..2] {
        client.classify(std::slice::from_ref(picture)).unwrap();
    }
    wait_until("full pools", || full(&parties));
    client.leave();
    second.log.wait_for("has finished", 1);

    // Without the dealer, a new client process and the same server live on what waits.
    dealer_process.kill();
    let left = waiting(&parties, "mine").len();
    let served =
        parties.infer(&config, &["--limit", &left.to_string(), &parties.text("images.bin")]);
    assert_eq!(served.classes().len(), left);
    assert!(waiting(&parties, "mine").is_empty());
    used.extend(second.log.batches());
    assert_eq!(used.len(), 3 + left);
    assert!(used.is_sorted_by(|a, b| a < b), "a batch was used twice: {used:?}");

    let exhausted = parties.infer(&config, &["--limit", "1", &parties.text("images.bin")]);
    exhausted.failed(5, &["no correlated randomness", "dealer", "start the dealer"]);
    assert!(exhausted.took.as_secs() <= 2 * DEADLINE);
}

#[test]
fn a_full_disk_is_named_and_the_server_lives() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let config = parties.server_config("pool = 1\npool_folder = \"pool\"\n", dealer, None);
    // Files over a few hundred bytes are refused, as by a full disk.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" serve --config \"$1\"";
    let program = env!("CARGO_BIN_EXE_sotto");
    let mut command = std::process::Command::new("sh");
    let mut server = Process::start("server", command.args(["-c", script, program, &config]));
    let at = server.line().trim().rsplit(' ').next().unwrap().parse().unwrap();
    let client = parties.client_config("client", "", [at, dealer]);
    for _ in 0..2 {
        let failed = parties.infer(&client, &["--limit", "1", &parties.text("images.bin")]);
        failed.failed(4, &["server", "cannot be stored", "free space", "pool_folder"]);
    }
    assert!(waiting(&parties, "pool/client").is_empty());
    let halves = fs::read_dir(parties.path("pool/client")).unwrap().count();
    assert_eq!(halves, 0, "a half-written batch stayed");
    server.kill();
}
