//! Batches of texts that wait on the disks of server and client: each length has its own, and each is used once.

use std::net::SocketAddr;

use serde_json::Value;
use sotto::refusal::Refusal;
use sotto_models::length::Length;

use crate::{
    disks::{CLIENT, RESTORED, SERVER, files, restore, save, waiting, woken},
    hostile::endpoint,
    parties::Parties,
    spawned::{Log, Process},
    stored::{Hostile, Stores, open, wake},
    texts::embedding,
};

/// Lengths of the texts of `three.txt`, by themselves.
const LENGTHS: &str = "5,9";

/// A server of texts and a client's configuration, with a pool folder each.
fn both(parties: &Parties, at: Option<SocketAddr>) -> (Process, SocketAddr, String) {
    with(parties, [SERVER, CLIENT], at)
}

fn with(
    parties: &Parties,
    [server, client]: [&str; 2],
    at: Option<SocketAddr>,
) -> (Process, SocketAddr, String) {
    let (process, at) = parties.peer_server(&format!("model = \"texts\"\n{server}"), at);
    let lines = format!("lexicon = \"texts-lexicon\"\n{client}");
    (process, at, parties.peer_client("client", &lines, at))
}

/// Has batches of these lengths wait; gives how many the client says.
fn fill(parties: &Parties, config: &str, lengths: &str) -> u64 {
    let done = parties.infer(config, &["--fill", "--lengths", lengths]);
    assert_eq!(done.code, 0, "{}", done.err);
    let all: Value = serde_json::from_str(&done.out).unwrap();
    all["waiting"].as_u64().unwrap()
}

/// Evaluates the three texts, of 9, 5 and 5 words; gives the embeddings, and which of them used a batch that had waited.
fn embed(parties: &Parties, config: &str) -> (Vec<Vec<f64>>, Vec<bool>) {
    let results = parties.infer(config, &["--file", &parties.text("three.txt")]).results();
    let waited = |r: &Value| r["costs"]["waited"].as_bool().unwrap();
    (results.iter().map(embedding).collect(), results.iter().map(waited).collect())
}

/// Whether they are the same but for roundings, which follow masks.
fn are_alike(found: &[Vec<f64>], due: &[Vec<f64>]) -> bool {
    let mut pairs = found.iter().flatten().zip(due.iter().flatten());
    found.len() == due.len() && pairs.all(|(a, b)| (a - b).abs() < 0.02)
}

#[test]
fn batches_of_each_length_outlive_both_processes_and_are_used_at_once() {
    let parties = Parties::new();
    parties.texts();
    let (mut first, server, config) = both(&parties, None);
    let expected = embed(&parties, &config);
    assert_eq!(expected.1, [false; 3], "nothing waited");
    assert_eq!(fill(&parties, &config, LENGTHS), 4, "two of each");
    let names = waiting(&parties, "server");
    assert_eq!((names.len(), &waiting(&parties, "client")), (4, &names));
    first.kill();

    let (second, ..) = both(&parties, Some(server));
    let done = parties.infer(&config, &["--file", &parties.text("three.txt")]);
    let all: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(all["setup"]["setup_bytes"], 0, "nothing is set up where nothing is made");
    let results = done.results();
    assert!(results.iter().all(|r| r["costs"]["waited"] == true), "{all}");
    let found: Vec<_> = results.iter().map(embedding).collect();
    assert!(are_alike(&found, &expected.0), "{found:?} {:?}", expected.0);
    // One of nine words is left; of five, none, and of no other length any.
    let left = waiting(&parties, "client");
    assert_eq!((left.len(), &waiting(&parties, "server")), (1, &left));
    assert!(names.contains(&left[0]));
    let other =
        ["--text", "the", "--text", "the client sees", "--text", "a share is one of two numbers"];
    let waited = |r: &Value| r["costs"]["waited"].as_bool().unwrap();
    let results = parties.infer(&config, &other).results();
    assert_eq!(results.iter().map(waited).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(woken(&[&first.log, &second.log]).len(), 4);
    // Texts and then a pool for each of their lengths.
    let texts = ["--fill", "--text", "the client sees", "--text", "the"];
    let filled: Value = serde_json::from_str(&parties.infer(&config, &texts).out).unwrap();
    assert_eq!((&filled["waiting"], filled["results"].as_array().unwrap().len()), (&4.into(), 2));
    assert_eq!(waiting(&parties, "server"), waiting(&parties, "client"));
    assert!(!second.log.text().contains("WARN"), "{}", second.log.text());
}

#[test]
fn what_is_restored_or_copied_at_one_party_or_both_is_burnt() {
    let parties = Parties::new();
    parties.texts();
    let (mut process, server, config) = both(&parties, None);
    let expected = embed(&parties, &config).0;
    fill(&parties, &config, LENGTHS);
    process.kill();
    save(&parties);
    let mut logs = Vec::new();
    for (round, which) in RESTORED.into_iter().enumerate() {
        restore(&parties, which);
        let (mut process, _, config) = both(&parties, Some(server));
        let (found, waited) = embed(&parties, &config);
        assert!(are_alike(&found, &expected));
        // The one of nine words that is left waits where nothing was restored.
        let nine = round == 0 || which == [0];
        assert_eq!(waited, [nine, round == 0, round == 0], "restored {which:?}");
        process.kill();
        logs.push(process);
    }
    let logs: Vec<&Log> = logs.iter().map(|process| &process.log).collect();
    assert_eq!(woken(&logs).len(), 4);
    let (_process, _, config) = both(&parties, Some(server));
    assert_eq!(fill(&parties, &config, LENGTHS), 4);
    assert_eq!(waiting(&parties, "server"), waiting(&parties, "client"));
    assert_eq!(embed(&parties, &config).1, [true; 3]);
}

#[test]
fn a_batch_of_another_length_is_not_opened_and_stays_what_it_is() {
    let parties = Parties::new();
    parties.texts();
    let (process, at, _) = both(&parties, None);
    let [five, nine] = [5, 9].map(|words| Hostile {
        endpoint: endpoint(&parties, "client"),
        server: &process,
        at,
        length: Some(Length::Public(words)),
    });
    let batch = five.makes(Stores::All, 1);
    let mut other = nine.link();
    assert_eq!(wake(&mut other, batch.tag), Err(Refusal::NotKept));
    assert_eq!(open(&mut other, &batch.key).err(), Some(Refusal::NotKept));
    drop(other);
    assert_eq!(waiting_at_server(&parties), 1, "it is as it was");
    let mut link = five.link();
    wake(&mut link, batch.tag).unwrap();
    assert!(open(&mut link, &batch.key).is_ok());
    process.log.wait_for("waited on the disk", 1);
    assert_eq!(wake(&mut link, batch.tag), Err(Refusal::NotKept));
    assert_eq!(waiting_at_server(&parties), 0);
    assert!(!process.log.text().contains("panicked"));
}

fn waiting_at_server(parties: &Parties) -> usize {
    files(&parties.path("server-pool"), ".batch").len()
}

#[test]
fn lengths_that_wait_are_bounded_and_another_format_burns_them() {
    let parties = Parties::new();
    parties.texts();
    let one = [SERVER, CLIENT].map(|lines| lines.replace("pool = 2", "pool = 1"));
    let one = [&one[0][..], &one[1]];
    let (mut process, at, config) = with(&parties, one, None);
    // The longest first.
    for (some, each) in [("4,5,6,7,8", 5), ("9,10,11,12", 4)] {
        assert_eq!(fill(&parties, &config, some), each);
    }
    assert_eq!(waiting_at_server(&parties), 8, "the oldest gave way to the ninth");
    // What the client has and the server has not is told at its next greeting; the length of the oldest has none.
    let [eight, five] = ["a share is one of two", "the client sees"];
    let waited = |text: &str| {
        let results = parties.infer(&config, &["--text", text]).results();
        results[0]["costs"]["waited"].as_bool().unwrap()
    };
    assert_eq!([eight, five].map(waited), [false, true]);
    assert_eq!(waiting(&parties, "client"), waiting(&parties, "server"));
    process.kill();
    // Other plans of the same matrices: what waits is of no more use.
    let hidden = one.map(|lines| format!("length = \"hidden\"\n{lines}"));
    let (_process, _, config) = with(&parties, [&hidden[0], &hidden[1]], Some(at));
    assert_eq!(waiting_at_server(&parties), 0);
    assert_eq!(fill(&parties, &config, "5,16"), 1, "one bucket");
    assert_eq!(waiting(&parties, "client"), waiting(&parties, "server"));
}
