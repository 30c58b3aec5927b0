//! What a user does, with the results checked against each other and the counts against the plan.

use std::collections::BTreeSet;

use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};
use serde_json::Value;
use sotto::model::DEMO_IMAGES;

use crate::parties::{Parties, RECORD};

const FIELDS: [&str; 11] = [
    "images",
    "agree_plaintext",
    "agree_simulator",
    "max_logit_error",
    "setup_bytes",
    "offline_bytes",
    "online_bytes",
    "flights",
    "offline_s",
    "online_s",
    "total_s",
];

fn check_demo(parties: &Parties, args: &[&str], images: u64) {
    let done = parties.sotto(&[&["demo", "--json"], args].concat());
    assert_eq!(done.code, 0, "{}", done.err);
    let all: Value = serde_json::from_str(&done.out).unwrap();
    for field in FIELDS {
        assert!(all[field].is_number(), "{field} is missing: {}", done.out);
    }
    for field in ["setup_bytes", "offline_bytes", "online_bytes", "flights"] {
        assert_eq!(all[field], all["planned"][field], "{field}");
        assert!(all[field].as_u64().unwrap() > 0, "{field}");
    }
    assert_eq!(all["images"], images);
    assert_eq!(all["agree_simulator"], images);
    assert!(all["max_logit_error"].as_f64().unwrap() < 0.2);
    let seconds = |field: &str| all[field].as_f64().unwrap();
    assert!(seconds("online_s") > 0.0);
    assert!((seconds("total_s") - seconds("online_s") - seconds("offline_s")).abs() < 1e-9);
}

#[test]
fn the_demo_counts_what_the_plan_says() {
    let parties = Parties::new();
    let (model, images) = (parties.text("model"), parties.text("images.bin"));
    check_demo(&parties, &["--model", &model, "--images", &images, "--limit", "8"], 8);
    check_demo(&parties, &["--limit", "2"], 2);
}

#[test]
fn a_picture_has_one_class_in_every_format() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    // What a JPEG decodes to is the picture; the lossless formats repeat it.
    let planes = &DEMO_IMAGES[1..RECORD];
    let pixels: Vec<u8> =
        (0..1024).flat_map(|i| [planes[i], planes[1024 + i], planes[2048 + i]]).collect();
    let mut jpeg = Vec::new();
    JpegEncoder::new(&mut jpeg).write_image(&pixels, 32, 32, ExtendedColorType::Rgb8).unwrap();
    let picture = image::load_from_memory(&jpeg).unwrap().to_rgb8();
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&picture, 32, 32, ExtendedColorType::Rgb8).unwrap();
    let plane = |c: usize| picture.pixels().map(move |p| p.0[c]);
    let record: Vec<u8> = std::iter::once(3).chain((0..3).flat_map(plane)).collect();
    parties.write("picture.jpg", &jpeg);
    parties.write("picture.png", &png);
    parties.write("picture.bin", &record);
    let files = ["picture.jpg", "picture.png", "picture.bin"].map(|f| parties.text(f));
    let results = parties.infer(&config, &files.each_ref().map(|f| &f[..])).results();
    assert_eq!(results.len(), 3);
    assert_eq!(results[2]["label"], 3);
    for result in &results {
        assert_eq!(result["class"], results[0]["class"]);
        let logits =
            |r: &Value| -> Vec<f64> { serde_json::from_value(r["logits"].clone()).unwrap() };
        for (a, b) in logits(result).into_iter().zip(logits(&results[0])) {
            assert!((a - b).abs() < 0.05, "{a} and {b} differ by more than truncation");
        }
    }
}

#[test]
fn a_batch_takes_the_flights_of_one_image() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (one, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let images = parties.text("images.bin");
    let single = parties.infer(&config, &["--limit", "6", &images]);
    drop(one);
    let (four, server) = parties.server("batch = 4\n", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let batched = parties.infer(&config, &["--limit", "6", &images]);
    assert_eq!(batched.classes(), single.classes());
    assert_eq!(four.log.batches(2).len(), 2, "six images are two batches of four");
    let plan = parties.sotto(&["plan", "--json", "--batch", "4", &parties.text("model")]);
    let plan: Value = serde_json::from_str(&plan.out).unwrap();
    let results = batched.results();
    let shared: Vec<_> = results.iter().map(|result| &result["costs"]["shared_by"]).collect();
    assert_eq!(shared, [4, 4, 4, 4, 2, 2]);
    for result in &results {
        assert_eq!(result["batch"], 4);
        let flights = &result["costs"]["flights"];
        assert_eq!(*flights, single.results()[0]["costs"]["flights"]);
        assert_eq!(*flights, plan["planned"]["flights"]);
    }
    // Bytes add up, whoever shares them: of each evaluation, and so of all.
    let planned = |count: &str| plan["planned"][count].as_u64().unwrap();
    for (i, evaluation) in [&results[..4], &results[4..]].into_iter().enumerate() {
        let setup = if i == 0 { planned("setup_bytes") } else { 0 };
        assert_eq!(sum(evaluation, &["setup_bytes"]), setup);
        assert_eq!(sum(evaluation, &["from_server", "from_client"]), planned("online_bytes"));
        assert_eq!(sum(evaluation, &["offline_bytes"]), planned("offline_bytes"));
    }
    let all: Value = serde_json::from_str(&batched.out).unwrap();
    assert_eq!(all["setup"]["setup_bytes"], plan["planned"]["setup_bytes"]);
}

/// The sum of some bytes over results.
fn sum(results: &[Value], counts: &[&str]) -> u64 {
    let of = |result: &Value| -> u64 {
        counts.iter().map(|count| result["costs"][count].as_u64().unwrap()).sum()
    };
    results.iter().map(of).sum()
}

/// Numbers begin anew with each plan and epoch: a line of a log that has one says of which.
#[test]
fn a_batch_is_told_apart_in_every_log() {
    let parties = Parties::new();
    parties.model("second", 2);
    let images = parties.text("images.bin");
    let models = "models = [{ model = \"model\" }, { model = \"second\" }]\n";
    for source in ["", "source = \"peer\"\n"] {
        let (dealer_process, dealer) = parties.dealer("", None);
        let (server_process, server) = parties.server(&format!("{source}{models}"), dealer, None);
        let mut names = BTreeSet::new();
        for model in ["model", "second"] {
            let lines = format!("{source}model = \"{model}\"\n");
            let config = parties.client_config("client", &lines, [server, dealer]);
            let client = parties.infer(&config, &["--limit", "1", &images]);
            let used = client.err.lines().find(|line| line.ends_with(" used")).unwrap();
            let (_, name) = used.split_once("batch ").unwrap();
            let name = name.strip_suffix(", used").unwrap();
            assert!(name.contains(&format!("of {model} (plan ")), "{used}");
            assert_eq!(name.contains("epoch "), source.is_empty(), "{used}");
            // The server calls it the same, and the dealer by the same plan and epoch.
            server_process.log.wait_for(&format!("batch {name}, "), 1);
            let (number, rest) = name.split_once(',').unwrap();
            if source.is_empty() {
                let dealt = rest.replace(&format!(" of {model}"), " of server");
                dealer_process.log.wait_for(&format!("batch {number},{dealt}, dealt to client"), 1);
            }
            assert!(names.insert(name.to_owned()), "two batches are called {name}");
        }
        let numbered = |line: &&str| {
            let after = line.split("batch ").nth(1);
            after.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        for log in [dealer_process.log.text(), server_process.log.text()] {
            assert!(log.lines().filter(numbered).all(|line| line.contains("(plan ")), "{log}");
        }
    }
}

/// With a dealer and without: a setup is counted once, by the first result after it.
#[test]
fn a_setup_is_counted_once() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let images = parties.text("images.bin");
    for source in ["dealer", "peer"] {
        let lines = match source {
            "peer" => "source = \"peer\"\n",
            _ => "",
        };
        let (_server, server) = parties.server(lines, dealer, None);
        let config = parties.client_config("client", lines, [server, dealer]);
        let results = parties.infer(&config, &["--limit", "4", &images]).results();
        let args = ["plan", "--json", "--source", source, &parties.text("model")];
        let plan: Value = serde_json::from_str(&parties.must(&args)).unwrap();
        let planned = |count: &str| plan["planned"][count].as_u64().unwrap();
        assert_eq!(sum(&results, &["setup_bytes"]), planned("setup_bytes"), "{source}");
        assert_eq!(sum(&results[..1], &["setup_bytes"]), planned("setup_bytes"), "{source}");
        assert_eq!(sum(&results, &["offline_bytes"]), 4 * planned("offline_bytes"), "{source}");
    }
}

#[test]
fn one_dealer_serves_every_setting_and_corrections_go_to_either_side() {
    let parties = Parties::new();
    let images = parties.text("images.bin");
    let mut offline = Vec::new();
    let mut classes = Vec::new();
    for corrections in ["server", "client"] {
        let (_dealer, dealer) = parties.dealer(&format!("corrections = \"{corrections}\"\n"), None);
        for lines in ["", "reveal = \"class\"\n", "public_max = true\n"] {
            let (_server, server) = parties.server(lines, dealer, None);
            let config = parties.client_config("client", "", [server, dealer]);
            let done = parties.infer(&config, &["--limit", "3", &images]);
            if lines.contains("class") {
                for result in done.results() {
                    assert!(result.get("logits").is_none(), "only the class is revealed: {result}");
                }
            }
            offline.push(done.results()[0]["costs"]["offline_bytes"].clone());
            classes.push(done.classes());
        }
    }
    assert_eq!(offline[..3], offline[3..], "corrections cost the same on either side");
    assert!(classes.iter().all(|c| *c == classes[0]), "{classes:?}");
}

#[test]
fn clients_are_served_in_a_row_and_at_once() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("", dealer, None);
    let first = parties.client_config("client", "", [server, dealer]);
    let second = parties.client_config("second", "", [server, dealer]);
    let many = parties.many(20);
    let expected = parties.infer(&first, &[&many]).classes();
    assert_eq!(parties.infer(&second, &[&many]).classes(), expected);
    let both = [&first, &second].map(|c| parties.start_infer(c, &["--json", &many]));
    for client in both {
        assert_eq!(client.finish().classes(), expected);
    }
    server_process.log.wait_for(" flights", 80);
    for name in ["client", "second"] {
        let text = server_process.log.text();
        let used: Vec<u64> = (text.lines())
            .filter(|l| l.contains(&format!(" {name} (")) && l.ends_with(" flights"))
            .map(|l| l.split("batch ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(used.len(), 40, "{text}");
        assert!(used.is_sorted_by(|a, b| a < b), "{name} used a batch twice: {used:?}");
    }
}

#[test]
fn the_table_names_every_picture() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let table = |config: &str| {
        let images = parties.text("images.bin");
        let done = parties.start_infer(config, &["--limit", "2", &images]).finish();
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.out.contains("images.bin#0") && done.out.contains("images.bin#1"));
        let words = done.out.lines().nth(1).unwrap().split_whitespace();
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let logit = |row: &[String]| row.iter().skip(1).find_map(|word| word.parse::<f64>().ok());
    assert!(!table(&config).contains(&"-".into()));
    let (_classes, server) = parties.server("reveal = \"class\"\n", dealer, None);
    let row = table(&parties.client_config("client", "", [server, dealer]));
    assert!(row.contains(&"-".into()) && logit(&row) != Some(1.0), "a class has no logit: {row:?}");
}
