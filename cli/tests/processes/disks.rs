//! Batches that server and client made, and that wait on the disks of both: over restarts, copies, crashes and damage each is used once.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sotto_models::images::{Fit, load};

use crate::{
    parties::{DEADLINE, Parties, queries, wait_until},
    spawned::{Log, Outcome, Process},
};

pub const SERVER: &str = "pool = 2\npool_folder = \"server-pool\"\n";
pub const CLIENT: &str = "pool = 2\npool_folder = \"client-pool\"\n";

/// A server and a client's configuration, with a pool folder each.
pub fn both(parties: &Parties, at: Option<SocketAddr>) -> (Process, SocketAddr, String) {
    let (process, server) = parties.peer_server(SERVER, at);
    (process, server, parties.peer_client("client", CLIENT, server))
}

/// Files of an ending in a folder.
pub fn files(folder: &Path, ending: &str) -> Vec<String> {
    let Ok(all) = fs::read_dir(folder) else { return Vec::new() };
    let names = all.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|n| n.ends_with(ending)).collect();
    names.sort();
    names
}

/// What lies on the disk of a party: names of batches, which have their keys beside them.
pub fn waiting(parties: &Parties, party: &str) -> Vec<String> {
    let mut batches = Vec::new();
    // One may be in the making, or in the burning, between a look at the one and at the other.
    wait_until("as many batches as keys", || {
        batches = files(&parties.path(&format!("{party}-pool")), ".batch");
        let keys = files(&parties.path(&format!("{party}-pool.keys")), ".key");
        batches.len() == keys.len()
    });
    batches
}

pub fn fill(parties: &Parties, config: &str) -> Outcome {
    let done = parties.infer(config, &["--fill"]);
    assert_eq!(done.code, 0, "{}", done.err);
    done
}

/// Classifies pictures; gives the classes, and which of them used a batch that had waited.
pub fn infer(parties: &Parties, config: &str, count: usize) -> (Vec<u64>, Vec<bool>) {
    let count = count.to_string();
    let done = parties.infer(config, &["--limit", &count, &parties.text("images.bin")]);
    let waited = |r: &Value| r["costs"]["waited"].as_bool().unwrap();
    (done.classes(), done.results().iter().map(waited).collect())
}

/// Names of the batches that servers took off their disks: none twice.
pub fn woken(logs: &[&Log]) -> Vec<String> {
    let text: String = logs.iter().map(|log| log.text()).collect();
    let names = text.lines().filter_map(|line| line.split("waited on the disk, ").nth(1));
    let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "a batch was used twice: {text}");
    names
}

pub fn copy(parties: &Parties, from: &str, to: &str) {
    let (from, to) = (parties.path(from), parties.path(to));
    drop(fs::remove_dir_all(&to));
    fs::create_dir_all(&to).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Each party's pool: seals, and keys.
const FOLDERS: [&str; 4] = ["server-pool", "server-pool.keys", "client-pool", "client-pool.keys"];

/// Of these, what comes back in which round: nothing; a party's seals; all that a party has; the seals of both.
pub const RESTORED: [&[usize]; 6] = [&[], &[0], &[2], &[0, 1], &[2, 3], &[0, 2]];

/// Copies both parties' pools.
pub fn save(parties: &Parties) {
    FOLDERS.iter().for_each(|name| copy(parties, name, &format!("saved-{name}")));
}

/// Puts some of them back as they were.
pub fn restore(parties: &Parties, which: &[usize]) {
    let names = which.iter().map(|i| FOLDERS[*i]);
    names.for_each(|name| copy(parties, &format!("saved-{name}"), name));
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
    let images = parties.text("images.bin");
    let done = parties.infer(&config, &["--limit", "1", &images]);
    assert_eq!(done.classes(), expected.0[..1]);
    let all: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(all["setup"]["setup_bytes"], 0, "nothing is set up where nothing is made");
    let costs = &done.results()[0]["costs"];
    assert_eq!((&costs["waited"], &costs["setup_bytes"]), (&true.into(), &0.into()));
    assert!(costs["offline_bytes"].as_u64().unwrap() > 0, "they crossed before");
    assert!(costs["offline_s"].as_f64().unwrap() < 1.0, "{costs}");
    let said = parties.start_infer(&config, &["--limit", "1", &images]).finish();
    let line = "1 of 1 batches were made with the server before";
    assert!(said.code == 0 && said.out.contains(line), "{}", said.out);
    for party in ["server", "client"] {
        assert_eq!(waiting(&parties, party), [""; 0], "what is used is gone");
    }
    let used = woken(&[&second.log]);
    assert_eq!(used.len(), 2);
    assert!(names.iter().all(|name| used.iter().any(|used| name.starts_with(used))));
    // The third is made; then there are two again.
    let filled = parties.infer(&config, &["--fill", "--limit", "1", &images]);
    assert_eq!(filled.results()[0]["costs"]["waited"], false);
    assert_eq!((waiting(&parties, "server").len(), waiting(&parties, "client").len()), (2, 2));
    assert!(!second.log.text().contains("WARN"), "{}", second.log.text());
}

#[test]
fn what_is_restored_at_one_party_or_both_is_burnt() {
    let parties = Parties::new();
    let (mut process, server, config) = both(&parties, None);
    let expected = infer(&parties, &config, 2).0;
    fill(&parties, &config);
    process.kill();
    save(&parties);
    let mut logs = Vec::new();
    for (round, which) in RESTORED.into_iter().enumerate() {
        restore(&parties, which);
        let (mut process, _, config) = both(&parties, Some(server));
        let (classes, waited) = infer(&parties, &config, 2);
        assert_eq!(classes, expected);
        assert_eq!(waited, [round == 0; 2], "restored {which:?}");
        process.kill();
        logs.push(process);
        let left = waiting(&parties, "client");
        assert_eq!(left, [""; 0], "what is burnt is gone");
    }
    assert_eq!(woken(&logs.iter().map(|process| &process.log).collect::<Vec<_>>()).len(), 2);
    // What only the server restored is given up when the client comes.
    let (_process, _, config) = both(&parties, Some(server));
    fill(&parties, &config);
    assert_eq!(waiting(&parties, "server"), waiting(&parties, "client"));
    assert_eq!(infer(&parties, &config, 2), (expected, vec![true; 2]));
}

#[test]
fn copies_of_a_folder_never_share_a_batch() {
    let parties = Parties::new();
    let (first, server, config) = both(&parties, None);
    let expected = infer(&parties, &config, 2).0;
    fill(&parties, &config);
    for (from, to) in [("server-pool", "server-copy"), ("client-pool", "client-copy")] {
        copy(&parties, from, to);
        copy(&parties, &format!("{from}.keys"), &format!("{to}.keys"));
    }
    // A second server of the same name, and a second process of the client. (Copies of both parties that meet each other would
    // use batches once more: nobody is left who could know.)
    let (second, other) = parties.peer_server(&SERVER.replace("-pool\"", "-copy\""), None);
    let clients = [("client-pool", server), ("client-pool", other), ("client-copy", server)];
    for (round, (folder, at)) in clients.into_iter().enumerate() {
        let config = parties.peer_client("client", &CLIENT.replace("client-pool", folder), at);
        assert_eq!(infer(&parties, &config, 2), (expected.clone(), vec![round == 0; 2]));
    }
    assert_eq!(woken(&[&first.log, &second.log]).len(), 2);
    for folder in ["client-pool", "client-copy", "server-pool"] {
        assert_eq!(files(&parties.path(folder), ".batch"), [""; 0]);
    }
}

#[test]
fn another_clients_folder_is_refused_and_another_models_is_burnt() {
    let parties = Parties::new();
    let (mut process, server, config) = both(&parties, None);
    fill(&parties, &config);
    let images = parties.text("images.bin");
    let second = parties.peer_client("second", CLIENT, server);
    let refused = parties.infer(&second, &["--limit", "1", &images]);
    refused.failed(2, &["`client with server`", "`second with server`", "its own"]);
    // One process at a time.
    let mut busy = parties.start_infer(&config, &["--json-lines", &parties.many(40)]);
    busy.line();
    parties.infer(&config, &["--limit", "1", &images]).failed(2, &["another process", "pool"]);
    busy.kill();
    fill(&parties, &config);
    process.kill();
    parties.model("other", 2);
    let lines = format!("model = \"other\"\n{SERVER}");
    let (mut process, _) = parties.peer_server(&lines, Some(server));
    assert_eq!(waiting(&parties, "server"), [""; 0], "they are of another model");
    assert_eq!(infer(&parties, &config, 1).1, [false]);
    assert_eq!(waiting(&parties, "client"), [""; 0]);
    process.kill();
    // What does not go together.
    let (_dealer, dealer) = parties.dealer("", None);
    let with_dealer = parties.client_config("client", CLIENT, [server, dealer]);
    parties.infer(&with_dealer, &["--limit", "1", &images]).failed(2, &["pool_folder", "peer"]);
}

#[test]
fn damaged_parts_are_burnt_at_both_and_the_classes_are_right() {
    let parties = Parties::new();
    let (mut process, server, config) = both(&parties, None);
    let expected = infer(&parties, &config, 2).0;
    process.kill();
    for party in ["server", "client"] {
        let (mut process, _, config) = both(&parties, Some(server));
        fill(&parties, &config);
        process.kill();
        for (i, name) in waiting(&parties, party).iter().enumerate() {
            let path = parties.path(&format!("{party}-pool")).join(name);
            let mut bytes = fs::read(&path).unwrap();
            let at = [40, bytes.len() / 2][i];
            bytes[at] ^= 0x10;
            fs::write(&path, bytes).unwrap();
        }
        let (mut process, _, config) = both(&parties, Some(server));
        let done = parties.infer(&config, &["--limit", "2", &parties.text("images.bin")]);
        assert_eq!(done.classes(), expected);
        assert!(done.results().iter().all(|r| r["costs"]["waited"] == false));
        let log = if party == "server" { process.log.text() } else { done.err };
        assert!(log.matches("is damaged").count() == 2, "{party}: {log}");
        for party in ["server", "client"] {
            assert_eq!(waiting(&parties, party), [""; 0]);
        }
        process.kill();
    }
}

#[test]
fn a_full_disk_of_either_is_named_and_all_goes_on() {
    let parties = Parties::new();
    // Files over a few hundred bytes are refused, as by a full disk.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let full = |name, args: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_sotto")]).args(args);
        Process::start(name, &mut command)
    };
    let server_config =
        parties.server_config(&format!("source = \"peer\"\n{SERVER}"), crate::parties::LOCAL, None);
    let mut server = full("server", &["serve", "--config", &server_config]);
    let at = server.address();
    let config = parties.peer_client("client", CLIENT, at);
    let failed = parties.infer(&config, &["--fill"]);
    failed.failed(5, &["the server cannot store", "its log"]);
    for words in ["cannot be stored", "free space", "pool_folder"] {
        server.log.wait_for(words, 1);
    }
    let expected = infer(&parties, &config, 1).0;
    server.kill();
    let (_process, ..) = both(&parties, Some(at));
    let client = full("client", &["infer", "--config", &config, "--fill", "--json"]).finish();
    client.failed(2, &["cannot be stored", "free space", "pool_folder"]);
    for party in ["server", "client"] {
        let batches = parties.path(&format!("{party}-pool"));
        wait_until("the end of what is not stored", || files(&batches, ".batch").is_empty());
        assert_eq!(waiting(&parties, party), [""; 0]);
        assert_eq!(files(&parties.path(&format!("{party}-pool")), ".part"), [""; 0]);
    }
    assert_eq!(infer(&parties, &config, 1), (expected, vec![false]));
}

#[test]
fn a_pool_is_no_larger_than_a_quota_allows() {
    let parties = Parties::new();
    let lines = [SERVER, CLIENT].map(|lines| lines.replace("pool = 2", "pool = 3"));
    let config = parties.server_config(
        &format!("source = \"peer\"\n{}", lines[0]),
        crate::parties::LOCAL,
        None,
    );
    let text = fs::read_to_string(&config).unwrap();
    let line = "certificate = \"client.cert\"\n";
    parties.write("server.toml", text.replace(line, &format!("{line}quota = 2\n")).as_bytes());
    let (_process, server) = parties.start_server(&config);
    let config = parties.peer_client("client", &lines[1], server);
    parties.infer(&config, &["--fill"]).failed(4, &["0 of 2 images are used up"]);
    for party in ["server", "client"] {
        assert_eq!(waiting(&parties, party).len(), 2);
    }
    assert_eq!(infer(&parties, &config, 2).1, [true; 2]);
    parties.infer(&config, &["--fill"]).failed(4, &["2 of 2 images are used up"]);
}

#[test]
fn whoever_is_killed_while_batches_are_made_or_stored_finds_whole_ones_or_none() {
    let parties = Parties::new();
    let (mut process, server, config) = both(&parties, None);
    let expected = infer(&parties, &config, 2).0;
    let lines = [SERVER, CLIENT].map(|lines| lines.replace("pool = 2", "pool = 3"));
    process.kill();
    let mut logs = Vec::new();
    for round in 0..6 {
        let (mut process, _) = parties.peer_server(&lines[0], Some(server));
        let config = parties.peer_client("client", &lines[1], server);
        let mut client = parties.start_infer(&config, &["--fill", "--json"]);
        // At another moment of the work each time.
        thread::sleep(Duration::from_millis(300 + 250 * round));
        let (who, left) = if round % 2 == 0 { (&mut process, true) } else { (&mut client, false) };
        who.kill();
        let start = Instant::now();
        if left {
            let done = client.finish();
            assert!(matches!(done.code, 0 | 4 | 5), "{} {}", done.code, done.err);
            assert!(start.elapsed().as_secs() <= 3 * DEADLINE, "{:?}", start.elapsed());
        } else {
            drop(client);
            process.kill();
        }
        logs.push(process);
        let (mut process, _) = parties.peer_server(&lines[0], Some(server));
        assert_eq!(infer(&parties, &config, 2).0, expected);
        process.kill();
        logs.push(process);
    }
    woken(&logs.iter().map(|process| &process.log).collect::<Vec<_>>());
}

#[test]
fn an_idle_client_fills_the_disks_and_goes_on_without_a_server_that_makes() {
    let parties = Parties::new();
    let (mut first, server, config) = both(&parties, None);
    let mut client = parties.connect(&config);
    let pictures = load(&parties.path("images.bin"), &client.private().model, Fit::Exact, 4);
    let pictures = queries(pictures.unwrap());
    wait_until("a full pool", || client.waiting() == 2);
    for picture in &pictures {
        // Sooner than the pause of an idle client: the third and the fourth find none.
        let answer = &client.answer(std::slice::from_ref(picture)).unwrap()[0];
        assert!(answer.costs.waited || client.waiting() == 0);
    }
    let stored = || files(&parties.path("server-pool.keys"), ".key").len() == 2;
    wait_until("a full pool", || client.waiting() == 2 && stored());
    first.kill();
    let (second, _) = parties.peer_server(SERVER, Some(server));
    assert!(client.answer(&pictures[..1]).is_err(), "its link is gone");
    client.leave();
    let mut client = parties.connect(&config);
    let answer = &client.answer(&pictures[..1]).unwrap()[0];
    assert!(answer.costs.waited);
    wait_until("a full pool", || client.waiting() == 2);
    woken(&[&first.log, &second.log]);
    client.leave();
    assert_eq!(waiting(&parties, "client"), waiting(&parties, "server"));
}
