//! Texts of hidden lengths: what the server sees of two that share a bucket is the same, and both are right.

use std::{net::SocketAddr, path::Path};

use serde_json::Value;
use sotto::{
    config::Source,
    messages::{self, ClientHello, ServerWelcome, step},
    refusal::Refusal,
};
use sotto_models::{length::Length, model::Output};

use crate::{
    hostile::{connect, endpoint},
    operations::{get, healthy, tcp_port},
    parties::{LOCAL, Parties},
    spawned::Log,
    texts::{demo, embedding},
};

const HIDDEN: &str = "length = \"hidden\"\n";

/// Texts of 5 and of 9 words, of a model that takes 16.
const TEXTS: [&str; 2] = ["the client sees", "a share is one of two numbers"];

/// What a server's log says of its client's batches from `from` on, without times, ports, and numbers of batches
/// and bits so far.
fn said(log: &Log, from: usize) -> Vec<String> {
    let text = log.text();
    let of_batches = |line: &&str| line.contains("client") && line.contains("batch ");
    let lines = text[from..].lines().filter(of_batches).map(|line| {
        let (_, line) = line.split_once("INFO").unwrap_or_else(|| panic!("no information: {line}"));
        let counted = ["(127.0.0.1:", "batch ", "at most "];
        counted.iter().fold(line.to_owned(), |line, before| {
            let Some((head, tail)) = line.split_once(before) else { return line };
            format!("{head}{before}{}", tail.trim_start_matches(|c: char| c.is_ascii_digit()))
        })
    });
    let mut lines: Vec<String> = lines.collect();
    // Threads of their own write them.
    lines.sort();
    lines
}

/// What a server counts of its client.
fn metrics(at: SocketAddr) -> Vec<u64> {
    let (_, metrics) = get(at, "/metrics");
    let counts = ["evaluations", "inputs", "revealed_bits"].map(|name| {
        let name = format!("sotto_{name}_total{{peer=\"client\",model=\"texts\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
        count.unwrap_or_else(|| panic!("no {name}in\n{metrics}")).parse().unwrap()
    });
    counts.to_vec()
}

#[test]
fn a_server_cannot_tell_texts_of_a_bucket_apart() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    for (finished, source) in [(1, ""), (2, "source = \"peer\"\n")] {
        let lines = format!("{source}model = \"texts\"\n{HIDDEN}");
        let config = parties.server_config(&lines, dealer, None);
        let health = SocketAddr::from((LOCAL.ip(), tcp_port()));
        healthy(Path::new(&config), health);
        let (process, server) = parties.start_server(&config);
        let lines = format!("{source}lexicon = \"texts-lexicon\"\n");
        let at = [server, dealer];
        let hidden = parties.client_config("client", &format!("{lines}{HIDDEN}"), at);
        let (mut logs, mut costs, mut counted) = (Vec::new(), Vec::new(), vec![vec![0; 3]]);
        let mut found = Vec::new();
        // The first is asked twice: what a server says once alone is behind then.
        for (number, text) in (1..).zip([TEXTS[0], TEXTS[0], TEXTS[1]]) {
            let from = process.log.text().len();
            let results = parties.infer(&hidden, &["--text", text]).results();
            let of = format!("{number} texts, the last of up to 16 tokens");
            process.log.wait_for(&of, 1);
            process.log.wait_for("has finished", finished * number);
            let lines = said(&process.log, from).into_iter();
            logs.push(lines.map(|line| line.replace(&of, "texts")).collect::<Vec<_>>());
            counted.push(metrics(health));
            let (all, words) = (&results[0]["costs"], text.split(' ').count() as u64 + 2);
            assert_eq!(results[0]["tokens"].as_u64(), Some(words));
            assert_eq!(results[0]["bucket"], 16);
            let counts = ["setup_bytes", "offline_bytes", "from_server", "from_client", "flights"];
            costs.push(counts.map(|count| all[count].as_u64().unwrap()));
            found.push(embedding(&results[0]));
        }
        assert_eq!(logs[1], logs[2], "{}", process.log.text());
        let more = |at: usize| -> Vec<u64> {
            counted[at].iter().zip(&counted[at - 1]).map(|(now, before)| now - before).collect()
        };
        assert!(more(1)[2] > 0 && (2..=3).all(|at| more(at) == more(1)), "{counted:?}");
        assert_eq!(costs[1], costs[2]);
        assert!(!process.log.text().contains("WARN"), "{}", process.log.text());
        // A client that has nothing to hide pays for its own words alone, at the same server.
        let public = parties.client_config("client", &lines, at);
        for (text, hidden) in TEXTS.iter().zip(&found[1..]) {
            let results = parties.infer(&public, &["--text", text]).results();
            assert!(results[0].get("bucket").is_none());
            let online = results[0]["costs"]["from_client"].as_u64().unwrap();
            assert!(online < costs[0][3], "{online}: as many bytes as the bucket's");
            let public = embedding(&results[0]);
            let dot: f64 = public.iter().zip(hidden).map(|(a, b)| a * b).sum();
            assert!(dot >= 0.9999, "{dot}: both are of length 1");
        }
    }
}

#[test]
fn the_demo_pads_texts_as_the_plan_says() {
    let parties = Parties::new();
    let model = parties.texts();
    let file = parties.text("three.txt");
    for source in ["dealer", "peer"] {
        let args = ["--file", &file, "--source", source, "--batch", "2", "--hidden-length"];
        let all = demo(&parties, &model, &args);
        assert!(all["min_cosine"].as_f64().unwrap() > 0.9999, "{all}");
        let tokens: Vec<&Value> =
            all["results"].as_array().unwrap().iter().map(|r| &r["tokens"]).collect();
        // A bucket's texts are asked in the order in which they are given, whatever their lengths.
        assert_eq!(tokens, [9, 5, 5]);
        let lengths = all["lengths"].as_array().unwrap();
        assert_eq!((lengths.len(), &lengths[0]["texts"]), (1, &3.into()));
        let args = ["plan", &model, "--json", "--batch", "2", "--source", source];
        let args = [&args[..], &["--tokens", "9", "--hidden-length"]].concat();
        let plan: Value = serde_json::from_str(&parties.must(&args)).unwrap();
        assert_eq!((&plan["bucket"], plan.get("tokens")), (&16.into(), None));
        assert_eq!(lengths[0]["planned"], plan["planned"]);
    }
    let simulated =
        parties.must(&["simulate", &model, "--json", "--tokens", "9", "--hidden-length"]);
    let simulated: Value = serde_json::from_str(&simulated).unwrap();
    assert_eq!(simulated["bucket"], 16);
    let table = parties.must(&["plan", &model, "--lengths", "1,9", "--hidden-length"]);
    assert_eq!(table.matches("up to 16").count(), 2, "{table}");
    let long = parties.sotto(&["plan", &model, "--tokens", "17", "--hidden-length"]);
    long.failed(3, &["17 words", "1 to 16"]);
    let samples = ["--text", &parties.text("samples.txt"), "--hidden-length", "--json"];
    let checked = parties.must(&[&["check", &model], &samples[..]].concat());
    let checked: Value = serde_json::from_str(&checked).unwrap();
    for sample in checked["samples"].as_array().unwrap() {
        assert!(sample["cosine"].as_f64().unwrap() >= 0.9999, "{sample}");
    }
}

#[test]
fn results_of_words_are_those_of_the_text() {
    let parties = Parties::new();
    parties.texts();
    let of_words = parties.with_output("words", Output::Tokens { classes: 4 });
    let all = demo(&parties, &of_words, &["--text", TEXTS[0], "--hidden-length"]);
    assert_eq!(all["results"][0]["tokens"], 5);
    let (_dealer, dealer) = parties.dealer("", None);
    let lines = format!("model = \"words\"\n{HIDDEN}");
    let (_server, server) = parties.server(&lines, dealer, None);
    let lines = format!("lexicon = \"words-lexicon\"\n{HIDDEN}");
    let config = parties.client_config("client", &lines, [server, dealer]);
    let results = parties.infer(&config, &["--text", TEXTS[0]]).results();
    let words = results[0]["words"].as_array().unwrap();
    assert_eq!((words.len(), &words[2]["word"]), (5, &"client".into()));
}

/// Whoever asks for lengths of its own choice under the name of buckets would have as many plans as there are lengths.
#[test]
fn other_lengths_than_buckets_are_refused() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let client = endpoint(&parties, "client");
    let ask = |server: SocketAddr, rows: u32| {
        let mut link = connect(&client, "server", server);
        let length = Some(Length::Hidden(rows));
        let hello = ClientHello { length, ..ClientHello::new(Source::Dealer) };
        messages::send(&mut link, step::HELLO, &hello).unwrap();
        match messages::welcome(&mut link, drop).unwrap() {
            ServerWelcome::Refused(why) => why,
            _ => panic!("{rows} is no bucket"),
        }
    };
    let (hides, server) = parties.server(&format!("model = \"texts\"\n{HIDDEN}"), dealer, None);
    for rows in [0, 17, u32::MAX] {
        assert_eq!(ask(server, rows), Refusal::Length { rows, most: 16 });
    }
    for rows in [1, 8, 15] {
        assert_eq!(ask(server, rows), Refusal::Bucket(rows));
    }
    let (tells, server) = parties.server("model = \"texts\"\n", dealer, None);
    for rows in [0, 5, 16, u32::MAX] {
        assert_eq!(ask(server, rows), Refusal::PublicLength);
    }
    for process in [hides, tells] {
        assert!(!process.log.text().contains("plan "), "nothing was announced for them");
    }
}

#[test]
fn a_client_that_hides_lengths_tells_none_to_a_server_that_does_not() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let (process, server) = parties.server("model = \"texts\"\n", dealer, None);
    let lines = format!("lexicon = \"texts-lexicon\"\n{HIDDEN}");
    let config = parties.client_config("client", &lines, [server, dealer]);
    let refused = parties.infer(&config, &["--text", TEXTS[0]]);
    refused.failed(4, &["server", "public lengths alone", "`length = \"hidden\"` there"]);
    assert!(!process.log.text().contains(" 5 tokens"), "{}", process.log.text());
    let examined = parties.sotto(&["check", "--config", &config]);
    assert!(
        examined.code == 1 && examined.out.contains("public lengths alone"),
        "{}",
        examined.out
    );
    // Pictures have no length to hide.
    parties.sotto(&["plan", "demo", "--hidden-length"]).failed(3, &["no length to hide"]);
    let config = parties.server_config(&format!("model = \"demo\"\n{HIDDEN}"), dealer, Some(LOCAL));
    parties.sotto(&["serve", "--config", &config]).failed(3, &["no length to hide"]);
}
