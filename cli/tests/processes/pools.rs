//! Pools of correlations: filled ahead, private, used once, independent of the dealer while they last.

use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

use sotto::{
    client::{Connection, Query},
    error::Error,
};
use sotto_models::images::{Fit, load};

use crate::{
    parties::{DEADLINE, Parties, queries, wait_until},
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

fn pictures(parties: &Parties, client: &Connection) -> Vec<Query> {
    queries(load(&parties.path("images.bin"), &client.private().model, Fit::Exact, 8).unwrap())
}

#[test]
fn a_pool_in_memory_outlives_the_dealer() {
    let parties = Parties::new();
    let (mut dealer_process, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("pool = 3\n", dealer, None);
    // Full before anybody comes.
    server_process.log.wait_for("3 ready", 1);
    let config = parties.client_config("client", "pool = 3\n", [server, dealer]);
    let mut client = parties.connect(&config);
    let pictures = pictures(&parties, &client);
    client.answer(&pictures[..1]).unwrap();
    // Two or three, as the server had fetched another one or not.
    wait_until("claims ahead", || client.ready() >= 2);
    dealer_process.kill();
    let ready = client.ready();
    for picture in &pictures[1..=ready] {
        let start = Instant::now();
        client.answer(std::slice::from_ref(picture)).unwrap();
        assert!(start.elapsed().as_secs() < DEADLINE / 2, "it waited for the dealer");
    }
    let start = Instant::now();
    let exhausted = client.answer(&pictures[4..5]).unwrap_err();
    assert!(matches!(exhausted, Error::Exhausted { .. } | Error::Refused { .. }), "{exhausted}");
    assert_eq!(exhausted.exit_code(), 5);
    let text = exhausted.to_string();
    assert!(text.contains("dealer") && text.contains("start the dealer"), "{text}");
    assert!(start.elapsed().as_secs() <= DEADLINE + 1);
    assert_eq!(server_process.log.batches(1 + ready), (0..=ready as u64).collect::<Vec<_>>());
    client.leave();
}

#[test]
fn a_pool_on_disk_outlives_the_server() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let lines = "pool = 3\npool_folder = \"pool\"\n";
    let (mut first, server) = parties.server(lines, dealer, None);
    let config = parties.client_config("client", "pool = 0\n", [server, dealer]);
    // One of the three is staged: it has left the disk already.
    let full = || waiting(&parties, "pool").len() == 2;
    wait_until("a full pool", full);
    assert_eq!(parties.path("pool").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    for file in waiting(&parties, "pool") {
        let path = parties.path("pool").join(file);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = waiting(&parties, "pool");
    parties.works(&config);
    wait_until("a full pool", full);
    assert_ne!(waiting(&parties, "pool"), before, "what was staged has left the disk");
    let mut used = first.log.batches(1);

    // The server is started again: it goes on with what waits on its disk.
    first.kill();
    let left = waiting(&parties, "pool").len();
    let (second, again) = parties.server(lines, dealer, Some(server));
    assert_eq!(again, server);
    for _ in 0..left {
        parties.works(&config);
    }
    used.extend(second.log.batches(left));
    assert_eq!(used.len(), 1 + left);
    assert!(used.is_sorted_by(|a, b| a < b), "a batch was used twice: {used:?}");
    let highest = used[left];
    assert!(highest <= 1 + left as u64, "what waited was not used: {used:?}");
    assert!(!second.log.text().contains("burnt"), "{}", second.log.text());
}

#[test]
fn one_picture_a_run_burns_nothing() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("pool = 2\n", dealer, None);
    server_process.log.wait_for("2 ready", 1);
    let config = parties.client_config("client", "pool = 2\n", [server, dealer]);
    for _ in 0..5 {
        parties.works(&config);
    }
    let images = parties.text("images.bin");
    parties.infer(&config, &["--limit", "5", &images]).results();
    server_process.log.wait_for("has finished", 6);
    assert_eq!(server_process.log.batches(10), (0..10).collect::<Vec<_>>());
}

#[test]
fn ten_processes_with_one_key_all_succeed() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("pool = 2\n", dealer, None);
    let config = parties.client_config("client", "pool = 2\n", [server, dealer]);
    let images = parties.text("images.bin");
    let all: Vec<_> = (0..10)
        .map(|_| parties.start_infer(&config, &["--json", "--limit", "4", &images]))
        .collect();
    let classes: Vec<_> = all.into_iter().map(|p| p.finish().classes()).collect();
    assert!(classes.iter().all(|c| *c == classes[0]), "{classes:?}");
    server_process.log.wait_for("has finished", 10);
    let mut used = server_process.log.batches(40);
    used.sort_unstable();
    assert_eq!(used.len(), 40);
    assert!(used.is_sorted_by(|a, b| a < b), "a batch was used twice: {used:?}");
    assert!(used[39] < 48, "more than 1.2 batches an image: {used:?}");
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
        failed.failed(5, &["server", "its disk", "log"]);
        assert!(!failed.err.contains("pool/"), "the server's folders are its own: {}", failed.err);
    }
    for words in ["cannot be stored", "free space", "pool_folder"] {
        server.log.wait_for(words, 1);
    }
    assert!(waiting(&parties, "pool").is_empty());
    let names = fs::read_dir(parties.path("pool")).unwrap().map(|e| e.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["owner"], "a half-written batch stayed");
    server.kill();
}
