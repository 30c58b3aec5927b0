//! `sotto init` offers what goes with the models and the source that it was given, and nothing else.

use std::fs;

use serde_json::Value;
use toml::Table;

use crate::parties::Parties;

/// The lines that a file offers: an option that is commented out.
fn offered(text: &str) -> Vec<&str> {
    let is_option = |line: &&str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    text.lines().filter_map(|line| line.strip_prefix("# ")).filter(is_option).collect()
}

/// Folders of parties with these models; gives the server's file and the client's.
fn init(parties: &Parties, folder: &str, source: &str, models: &[&str]) -> [String; 2] {
    let out = parties.text(folder);
    let mut args = vec!["init", &out, "--source", source];
    let models: Vec<String> = models.iter().map(|model| parties.text(model)).collect();
    args.extend(models.iter().flat_map(|model| ["--model", model]));
    parties.must(&args);
    ["server", "client"].map(|party| {
        fs::read_to_string(parties.path(&format!("{folder}/{party}/{party}.toml"))).unwrap()
    })
}

#[test]
fn options_of_texts_are_offered_for_models_of_texts() {
    let parties = Parties::new();
    parties.texts();
    let all: [&[&str]; 4] = [&["model"], &["texts"], &["texts", "model"], &["model", "texts"]];
    for (number, models) in all.into_iter().enumerate() {
        let [server, client] = init(&parties, &format!("made{number}"), "dealer", models);
        let of = |text: &str, key: &str| {
            let is = |line: &&&str| line.split(' ').next() == Some(key);
            offered(text).iter().filter(is).count()
        };
        let texts = usize::from(models.contains(&"texts"));
        assert_eq!(of(&server, "length"), texts, "{models:?}: {server}");
        // The client's are those of the model that it asks for, the first.
        let first = models[0] == "texts";
        assert_eq!(of(&client, "length"), usize::from(first), "{models:?}: {client}");
        let told: Table = client.parse().unwrap();
        assert_eq!(told.contains_key("lexicon") && told.contains_key("lexicon_hash"), first);
        // The model takes 16 words: it has that bucket alone.
        assert!(!server.contains("16, 32") && !client.contains("16, 32"), "{server}{client}");
        if models.len() == 1 {
            continue;
        }
        // In the table of the model that it is for.
        let table =
            server.split("[[models]]\n").find(|table| table.starts_with("model = \"texts\""));
        assert!(table.unwrap().contains("# length = \"hidden\""), "{server}");
        assert_eq!(told["model"].as_str(), Some(models[0]));
        // What a client of the other one writes is said, with its hash.
        let other = client.lines().find(|line| line.starts_with("# for `texts`: "));
        assert_eq!(other.is_some(), !first, "{client}");
        let lexicon =
            parties.must(&["lexicon", &parties.text("texts"), "--out", &parties.text("l")]);
        let hash = lexicon.trim().rsplit(' ').next().unwrap();
        assert!(client.contains(hash), "{client}");
    }
}

#[test]
fn each_source_has_its_own_options_and_all_that_are_offered_are_taken() {
    let parties = Parties::new();
    for source in ["dealer", "peer", "softspoken"] {
        let [server, client] = init(&parties, source, source, &["model"]);
        let has = |text: &str, key: &str| offered(text).iter().any(|line| line.starts_with(key));
        let dealt = source == "dealer";
        assert_eq!(has(&client, "weights_file = "), dealt, "{client}");
        assert_eq!(has(&server, "audit = "), dealt, "{server}");
        assert_eq!(has(&client, "pool_folder = "), !dealt, "{client}");
        assert!(has(&server, "pool_folder = "), "{server}");
        // With every one of them a party still starts.
        for (party, text) in [("server", &server), ("client", &client)] {
            let example = text.split_once("# [[models]]").map_or("", |(_, rest)| rest);
            let example = example.split("\n\n").next().unwrap();
            let line = |line: &str| match line.strip_prefix("# ") {
                Some(option) if offered(text).contains(&option) && !example.contains(line) => {
                    option.to_owned() + "\n"
                }
                _ => line.to_owned() + "\n",
            };
            let all: String = text.lines().map(line).collect();
            let file = format!("{source}/{party}/{party}.toml");
            parties.write(&file, all.as_bytes());
            let done = parties.sotto(&["check", "--config", &parties.text(&file), "--json"]);
            assert_eq!(done.code, 1, "nobody runs: {}{all}", done.err);
            let report: Value = serde_json::from_str(&done.out).unwrap();
            let wrong = report["checks"].as_array().unwrap().iter().filter(|l| l["ok"] == false);
            let wrong: Vec<&str> = wrong.map(|l| l["what"].as_str().unwrap()).collect();
            let absent = |what: &&str| {
                ["`server`", "`dealer`"].contains(what) || what.starts_with("service at ")
            };
            assert!(wrong.iter().all(absent), "{wrong:?}: {all}");
        }
    }
}
