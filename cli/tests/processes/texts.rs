//! Models of texts, and imported ones of pictures, through server and client.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use image::RgbImage;
use serde_json::Value;
use sotto::{
    config::Source,
    emulate::{Between, Paths},
    messages::{self, ClientHello, Request, ServerWelcome, step},
    refusal::Refusal,
};
use sotto_models::{
    Model, Weights,
    length::Length,
    model::{Classes, Input, Output, Pixels, Place, Pool},
    weights::Precision,
};
use sotto_net::Endpoint;
use sotto_netsim::{Direction, Network, Path as Way};

use crate::{
    hostile::{connect, endpoint},
    parties::{LOCAL, Parties, wait_until},
    spawned::Process,
};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");

/// Texts of 5, 5 and 9 words, the special ones included, in this order: 9, 5, 5.
const THREE: &str = "a share is one of two numbers\nthe client sees\nthe dealer sees\n";

impl Parties {
    pub fn must(&self, args: &[&str]) -> String {
        let done = self.sotto(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
        done.out
    }

    /// Imports and calibrates the tiny sentence encoder as `texts`, with a client's folder `lexicon`.
    pub fn texts(&self) -> String {
        let words = "a the dealer server client sees neither picture nor weight share is one of two numbers";
        let words: Vec<&str> = words.split(' ').collect();
        let text = |i: usize| {
            let word = |j| words[(i * 5 + j * (1 + i % 3)) % 16];
            (0..1 + i % 14).map(word).collect::<Vec<_>>().join(" ") + "\n"
        };
        self.write("samples.txt", (0..100).map(text).collect::<String>().as_bytes());
        self.write("three.txt", THREE.as_bytes());
        self.must(&["import", TINY, "--out", &self.text("texts")]);
        self.calibrated("texts")
    }

    pub fn calibrated(&self, name: &str) -> String {
        let folder = self.text(name);
        self.must(&["calibrate", &folder, "--text", &self.text("samples.txt")]);
        self.must(&["lexicon", &folder, "--out", &self.text(&format!("{name}-lexicon"))]);
        folder
    }

    /// The tiny encoder with another output and random weights.
    pub fn with_output(&self, name: &str, output: Output) -> String {
        let arch = fs::read_to_string(self.path("texts/arch.toml")).unwrap();
        let model = Model { output, name: name.into(), ..Model::from_toml(&arch).unwrap() };
        fs::create_dir(self.path(name)).unwrap();
        self.write(&format!("{name}/arch.toml"), model.to_toml().as_bytes());
        let tokenizer = fs::read(self.path("texts/tokenizer.json")).unwrap();
        self.write(&format!("{name}/tokenizer.json"), &tokenizer);
        let weights = Weights::random(&model, 5);
        weights.save(&self.path(name).join("weights.safetensors"), Precision::F32).unwrap();
        self.calibrated(name)
    }

    /// A server of texts and the configuration of its client.
    pub fn serve_texts(&self, source: &str, dealer: SocketAddr) -> (Process, SocketAddr, String) {
        let lines = format!("{source}model = \"texts\"\n");
        let (process, server) = self.start_server(&self.server_config(&lines, dealer, None));
        let lines = format!("{source}lexicon = \"texts-lexicon\"\n");
        (process, server, self.client_config("client", &lines, [server, dealer]))
    }
}

pub fn demo(parties: &Parties, model: &str, args: &[&str]) -> Value {
    let said = parties.must(&[&["demo", "--json", "--model", model], args].concat());
    let all: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(all["agree_simulator"], all["images"], "{all}");
    all
}

pub fn embedding(result: &Value) -> Vec<f64> {
    let numbers = result["embedding"].as_array().unwrap();
    numbers.iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn hidden_channels_of_unlike_range_are_sorted_when_a_model_is_calibrated() {
    let parties = Parties::new();
    let folder = parties.texts();
    let model = fs::read_to_string(parties.path("texts/arch.toml")).unwrap();
    let model = Model::from_toml(&model).unwrap();
    let path = parties.path("texts/weights.safetensors");
    let offline = |parties: &Parties| -> u64 {
        let said = parties.must(&["plan", &folder, "--tokens", "9", "--json"]);
        let plan: Value = serde_json::from_str(&said).unwrap();
        plan["planned"]["offline_bytes"].as_u64().unwrap()
    };
    // Every seventh channel of the first layer reaches 16 times as far.
    let before = Weights::load(&path, &model).unwrap();
    let values = before.iter().map(|(name, values)| (name.to_owned(), values.to_vec()));
    let mut values: BTreeMap<String, Vec<f32>> = values.collect();
    let wide = values.get_mut("blocks.0.mlp.fc1.weight").unwrap();
    wide.chunks_mut(model.stack.width).step_by(7).flatten().for_each(|w| *w *= 16.0);
    Weights::from_values(&model, values).unwrap().save(&path, Precision::F32).unwrap();
    parties.calibrated("texts");
    let ranges = fs::read_to_string(parties.path("texts/calibration.toml")).unwrap();
    let grouped = offline(&parties);
    // As it is where all channels pay for the widest one's table.
    let one: String =
        ranges.lines().filter(|l| !l.starts_with("groups")).map(|l| l.to_owned() + "\n").collect();
    parties.write("texts/calibration.toml", one.as_bytes());
    let all_alike = offline(&parties);
    assert!(grouped < all_alike, "{grouped} bytes, {all_alike} without groups: {ranges}");
    parties.write("texts/calibration.toml", ranges.as_bytes());
    let all = demo(&parties, &folder, &["--file", &parties.text("three.txt")]);
    assert_eq!(all["agree_plaintext"], 3);
}

#[test]
fn init_gives_a_server_its_model_and_clients_the_lexicon() {
    let parties = Parties::new();
    let model = parties.texts();
    let said = parties.must(&["init", &parties.text("try"), "--model", &model, "--json"]);
    let made: Value = serde_json::from_str(&said).unwrap();
    let commands: Vec<_> = made.as_array().unwrap().iter().map(|m| &m["command"]).collect();
    assert!(commands[2].as_str().unwrap().starts_with("sotto embed --config"), "{commands:?}");
    // Whole folders go to their hosts: nothing in them is elsewhere.
    fs::rename(&model, parties.path("elsewhere")).unwrap();
    let config = |party: &str| parties.text(&format!("try/{party}/{party}.toml"));
    for party in ["server", "client"] {
        let checked = parties.sotto(&["check", "--config", &config(party), "--json"]);
        let said: Value = serde_json::from_str(&checked.out).unwrap();
        let wrong = said["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|l| l["ok"] == false)
            .map(|l| l["what"].to_string());
        // Nobody runs yet: what is wrong is that peers do not answer.
        let wrong: Vec<String> = wrong.filter(|what| !what.contains('`')).collect();
        assert_eq!(wrong, [""; 0], "{party}: {}", checked.out);
    }
    let text = fs::read_to_string(config("client")).unwrap();
    let hash =
        parties.must(&["lexicon", &parties.text("elsewhere"), "--out", &parties.text("again")]);
    let hash = hash.trim().rsplit(' ').next().unwrap();
    assert!(text.contains(&format!("\nlexicon_hash = \"{hash}\"")), "{text}");
    assert!(
        !parties.path("try/dealer/model").exists() && !parties.path("try/client/model").exists()
    );
}

#[test]
fn texts_of_two_lengths_go_with_a_dealer_and_without() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let mut found = Vec::new();
    for source in ["", "source = \"peer\"\n"] {
        let (process, _, config) = parties.serve_texts(source, dealer);
        let done = parties.infer(&config, &["--file", &parties.text("three.txt")]);
        let results = done.results();
        // In the file's order, whatever the order of the evaluations.
        let tokens: Vec<u64> = results.iter().map(|r| r["tokens"].as_u64().unwrap()).collect();
        assert_eq!(tokens, [9, 5, 5]);
        let setup = results.iter().map(|r| r["costs"]["setup_bytes"].as_u64().unwrap());
        let setup: Vec<u64> = setup.collect();
        // What came before the first text, one of the shortest, serves all lengths.
        assert!(setup[1] > 0 && (setup[0], setup[2]) == (0, 0), "{setup:?}");
        process.log.wait_for("1 texts, the last of 5 tokens", 1);
        process.log.wait_for("3 texts, the last of 9 tokens", 1);
        assert!(!process.log.text().contains("WARN"), "{}", process.log.text());
        found.push(results.iter().map(embedding).collect::<Vec<_>>());
        // An embedding a line, in the same order.
        let lines =
            parties.must(&["embed", "--config", &config, "--file", &parties.text("three.txt")]);
        let first = lines.lines().next().unwrap().split(' ').next().unwrap();
        let first: f64 = first.parse().unwrap();
        assert!((first - found[0][0][0]).abs() < 0.01 && lines.lines().count() == 3);
    }
    for (dealt, made) in found[0].iter().zip(&found[1]) {
        let dot: f64 = dealt.iter().zip(made).map(|(a, b)| a * b).sum();
        assert!(dot > 0.999, "{dot}: both are of length 1");
    }
}

#[test]
fn the_demo_counts_texts_as_their_plans_do() {
    let parties = Parties::new();
    let model = parties.texts();
    let file = parties.text("three.txt");
    for source in ["dealer", "peer"] {
        let all = demo(&parties, &model, &["--file", &file, "--source", source, "--batch", "2"]);
        assert!(all["min_cosine"].as_f64().unwrap() > 0.999, "{all}");
        let lengths = all["lengths"].as_array().unwrap();
        assert_eq!((&lengths[0]["tokens"], &lengths[0]["texts"]), (&5.into(), &2.into()));
        let args =
            ["plan", &model, "--json", "--batch", "2", "--lengths", "5,9", "--source", source];
        let plans: Value = serde_json::from_str(&parties.must(&args)).unwrap();
        for (length, plan) in lengths.iter().zip(plans["lengths"].as_array().unwrap()) {
            assert_eq!(length["planned"], plan["planned"]);
            assert_eq!(length["tokens"], plan["tokens"]);
            // An evaluation costs the same for one text as for two.
            let texts = length["texts"].as_u64().unwrap();
            let all = texts.div_ceil(2) * length["planned"]["offline_bytes"].as_u64().unwrap();
            assert!(
                length["offline_bytes"].as_u64().unwrap().abs_diff(all / texts) <= 1,
                "{length}"
            );
        }
    }
    // More lengths than a server keeps open.
    let all = demo(&parties, &model, &["--file", &parties.text("samples.txt"), "--limit", "14"]);
    assert_eq!(all["lengths"].as_array().unwrap().len(), 14);
}

#[test]
fn classes_of_texts_pairs_and_words() {
    let parties = Parties::new();
    parties.texts();
    let classes = Classes { classes: 3, pool: Pool::First, hidden: None };
    let of_texts = parties.with_output("classes", Output::Classes(classes));
    let pair = ["--text", "the client sees", "--pair", "neither share"];
    let all = demo(&parties, &of_texts, &pair);
    assert_eq!(all["results"][0]["tokens"], 8);
    assert_eq!(all["results"][0]["private"], all["results"][0]["simulator"]);
    parties.write("pairs.txt", b"the client sees\tneither share\n");
    let filed = demo(&parties, &of_texts, &["--file", &parties.text("pairs.txt"), "--pairs"]);
    assert_eq!(filed["results"][0]["tokens"], 8);

    let of_words = parties.with_output("words", Output::Tokens { classes: 4 });
    demo(&parties, &of_words, &["--text", "the client sees"]);
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("model = \"words\"\n", dealer, None);
    let lines = "lexicon = \"words-lexicon\"\n";
    let config = parties.client_config("client", lines, [server, dealer]);
    let results = parties.infer(&config, &["--text", "the client sees"]).results();
    let words = results[0]["words"].as_array().unwrap();
    assert_eq!((words.len(), &words[2]["word"]), (5, &"client".into()));
    assert!(words.iter().all(|w| w["class"].as_u64().unwrap() < 4));
    parties.sotto(&["embed", "--config", &config, "--text", "the"]).failed(2, &["sotto infer"]);
}

#[test]
fn texts_that_cannot_be_are_refused_before_anything_is_sent() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server, config) = parties.serve_texts("", dealer);
    // Too long: the others are evaluated.
    let long = format!("{}\nthe client sees\n", "share ".repeat(20));
    parties.write("long.txt", long.as_bytes());
    let file = parties.text("long.txt");
    let done = parties.infer(&config, &["--file", &file]);
    done.failed(3, &["1 of 2", "text 1: ", "of 22 tokens: the model takes 16", "--truncate"]);
    let document: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(document["results"].as_array().unwrap().len(), 2);
    let cut = parties.infer(&config, &["--file", &file, "--truncate"]).results();
    assert_eq!(cut[0]["tokens"], 16);

    // Another model's tokenizer, or none.
    let tokenizer = fs::read_to_string(parties.path("texts-lexicon/tokenizer.json")).unwrap();
    fs::create_dir(parties.path("other")).unwrap();
    for name in ["arch.toml", "tables.safetensors"] {
        fs::copy(
            parties.path(&format!("texts-lexicon/{name}")),
            parties.path(&format!("other/{name}")),
        )
        .unwrap();
    }
    let changed = tokenizer.replace("client", "clinet");
    assert!(changed != tokenizer);
    parties.write("other/tokenizer.json", changed.as_bytes());
    let lines = "lexicon = \"other\"\n";
    let other = parties.client_config("second", lines, [server, dealer]);
    parties.infer(&other, &["--text", "the client sees"]).failed(2, &["lexicon", "sotto lexicon"]);
    let none = parties.client_config("second", "", [server, dealer]);
    parties.infer(&none, &["--text", "the"]).failed(2, &["lexicon = FOLDER"]);

    // A picture for a model of texts is the client's input, as a text that is too long is.
    parties.infer(&none, &[&parties.text("images.bin")]).failed(3, &["takes texts", "give texts"]);
    assert_eq!(parties.infer(&config, &["--text", "the client sees"]).results().len(), 1);
}

#[test]
fn lengths_of_a_hostile_client_are_refused() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let (process, server, config) = parties.serve_texts("", dealer);
    let client = endpoint(&parties, "client");
    let ask = |rows: Option<u32>, making: Option<[u8; 32]>| {
        let mut link = connect(&client, "server", server);
        let length = rows.map(Length::Public);
        let hello = ClientHello { length, making, ..ClientHello::new(Source::Dealer) };
        messages::send(&mut link, step::HELLO, &hello).unwrap();
        match messages::welcome(&mut link, drop).unwrap() {
            ServerWelcome::Refused(why) => why,
            _ => panic!("{rows:?} is no length"),
        }
    };
    for rows in [0, 17, u32::MAX] {
        for making in [None, Some([1; 32])] {
            assert_eq!(ask(Some(rows), making), Refusal::Length { rows, most: 16 });
        }
    }
    assert!(matches!(ask(None, None), Refusal::OtherInput(_)));
    assert!(!process.log.text().contains("plan "), "nothing was announced for them");
    assert_eq!(parties.infer(&config, &["--text", "the client sees"]).results().len(), 1);
}

#[test]
fn lengths_in_use_are_bounded_in_number_and_memory() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let (process, server, config) = parties.serve_texts("", dealer);
    let second = endpoint(&parties, "second");
    let first = endpoint(&parties, "client");
    let open = |client: &Endpoint, rows: u32| {
        let mut link = connect(client, "server", server);
        let hello =
            ClientHello { length: Some(Length::Public(rows)), ..ClientHello::new(Source::Dealer) };
        messages::send(&mut link, step::HELLO, &hello).unwrap();
        (messages::welcome(&mut link, drop).unwrap(), link)
    };
    let is_served = |said: &ServerWelcome| matches!(said, ServerWelcome::Card { .. });
    let mut held: Vec<_> = (1..=4).map(|rows| open(&second, rows)).collect();
    assert!(held.iter().all(|(said, _)| is_served(said)));
    // Half of them are for others, whether its links are idle or not; of the same length it may have more.
    let (said, _) = open(&second, 9);
    assert!(matches!(said, ServerWelcome::Refused(Refusal::Lengths(4))));
    let (said, more) = open(&second, 4);
    assert!(is_served(&said));
    drop(more);
    let args = ["--text", "the client sees"];
    assert_eq!(parties.infer(&config, &args).results()[0]["tokens"], 5);
    // One that is open is there for others; one that is idle gives way.
    held.extend([10, 11, 12].map(|rows| open(&first, rows)));
    assert!(held.iter().all(|(said, _)| is_served(said)));
    let long = ["--text", "a share is one of two numbers"];
    assert_eq!(parties.infer(&config, &long).results()[0]["tokens"], 9);
    held.push(open(&first, 13));
    assert!(is_served(&held[7].0), "the one of 5 or 9 words gave way");
    let waits = parties.start_infer(&config, &[&["--json"], &args[..]].concat());
    held.truncate(5);
    assert_eq!(waits.finish().results()[0]["tokens"], 5);
    drop((held, process));

    // What is said of memory does not tell how many models share it.
    let two =
        "models = [{ model = \"texts\" }, { name = \"other\", model = \"model\" }]\nmemory = 2\n";
    for lines in ["model = \"texts\"\nmemory = 1\n", two] {
        let lines = format!("{lines}pool = 1\n");
        let (_small, server) = parties.start_server(&parties.server_config(&lines, dealer, None));
        let lines = "lexicon = \"texts-lexicon\"\nmodel = \"texts\"\n";
        let config = parties.client_config("client", lines, [server, dealer]);
        let long = "share ".repeat(14);
        parties.infer(&config, &["--text", &long]).failed(4, &["16 tokens needs 2 MiB of"]);
        assert_eq!(parties.infer(&config, &args).results().len(), 1);
    }
}

#[test]
fn who_said_good_bye_holds_no_length_while_the_server_waits_for_its_last_word() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server, _) = parties.serve_texts("", dealer);
    // What the client says arrives at once, what it is told a second later.
    let path = Way { up: Direction::new(12.5e6, 0.001), down: Direction::new(12.5e6, 1.0) };
    let mut paths = Paths::new(Network::uniform("one way", path), 5);
    let far = paths.add("client_server", Between { listen: LOCAL, target: server }).unwrap();
    let client = endpoint(&parties, "client");
    let open = |rows: u32, at| {
        let mut link = connect(&client, "server", at);
        let hello =
            ClientHello { length: Some(Length::Public(rows)), ..ClientHello::new(Source::Dealer) };
        messages::send(&mut link, step::HELLO, &hello).unwrap();
        (messages::welcome(&mut link, drop).unwrap(), link)
    };
    let is_served = |said: &ServerWelcome| matches!(said, ServerWelcome::Card { .. });
    let (said, mut gone) = open(1, far);
    assert!(is_served(&said));
    let held: Vec<_> = (2..=4).map(|rows| open(rows, server)).collect();
    let (said, _) = open(5, server);
    assert!(matches!(said, ServerWelcome::Refused(Refusal::Lengths(4))));
    let carried = || paths.lines()[0].up.bytes;
    let before = carried();
    messages::send(&mut gone, step::REQUEST, &Request::Bye).unwrap();
    wait_until("the good-bye", || carried() > before);
    thread::sleep(Duration::from_millis(300));
    // Its answer to the server's last word never comes, as from a process that has ended.
    paths.partition("client_server", Duration::from_secs(3600)).unwrap();
    let start = Instant::now();
    while !is_served(&open(5, server).0) {
        assert!(start.elapsed() < Duration::from_secs(2), "the length of a client that is gone");
        thread::sleep(Duration::from_millis(20));
    }
    drop(held);
}

#[test]
fn pictures_of_any_size_become_the_models() {
    let parties = Parties::new();
    let arch = sotto_models::Arch::vit(1, 2, 16, 32, 16, 8, 5);
    let pixels = Pixels { mean: [0.5; 3], std: [1.0; 3], lead: 1, ..arch.pixels() };
    let mut model = Model { input: Input::Pixels(pixels), ..Model::from(&arch) };
    model.stack.place = Place::Before;
    let folder = parties.path("vit");
    fs::create_dir(&folder).unwrap();
    parties.write("vit/arch.toml", model.to_toml().as_bytes());
    let framing = "scale = \"shorter\"\nsize = 18\ncrop = 16\nfilter = \"bicubic\"\n";
    parties.write("vit/picture.toml", framing.as_bytes());
    let weights = Weights::random(&model, 3);
    weights.save(&folder.join("weights.safetensors"), Precision::F32).unwrap();
    let (vit, images) = (parties.text("vit"), parties.text("images.bin"));
    parties.must(&["calibrate", &vit, "--images", &images, "--count", "32"]);
    let picture = |path: &Path, w, h| {
        let colour = |x, y| image::Rgb([(5 * x) as u8, (7 * y) as u8, (x + y) as u8]);
        RgbImage::from_fn(w, h, colour).save(path).unwrap();
    };
    let files = [("wide.png", 40, 30), ("tall.png", 20, 50), ("small.png", 10, 10)];
    let files = files.map(|(name, w, h)| {
        picture(&parties.path(name), w, h);
        parties.text(name)
    });
    let args = [&["--images"], &files.each_ref().map(|f| &f[..])[..]].concat();
    let all = demo(&parties, &vit, &args);
    assert_eq!(all["images"], 3);
    picture(&parties.path("strip.png"), 2, 90);
    let strip = ["demo", "--model", &vit, "--images", &parties.text("strip.png")];
    parties.sotto(&strip).failed(3, &["strip.png", "2 x 90", "16 to 1"]);
}
