//! Folders with the tokenizers of real families: imported, calibrated, and asked over the network.

use std::fs;

use serde_json::{Map, Value, json};

use crate::{parties::Parties, texts::demo};

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/import/tests");

fn json(path: &str) -> Value {
    let text = fs::read_to_string(format!("{TESTS}/{path}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A family's folder under the hub's names, with random weights, its own tokenizer and the vocabulary of that; gives what the
/// reference makes of texts.
fn folder(parties: &Parties, family: &str, tokenizer: &str, first: usize) -> Value {
    let (case, numbered) =
        (json(&format!("families/{family}")), json(&format!("tokenizers/{tokenizer}")));
    let vocabulary = &numbered["tokenizer"]["model"]["vocab"];
    let words =
        vocabulary.as_array().map_or_else(|| vocabulary.as_object().unwrap().len(), Vec::len) + 1;
    let positions = numbered["length"].as_u64().unwrap() as usize + first;
    let (mut header, mut data) = (Map::new(), Vec::new());
    for tensor in case["tensors"].as_array().unwrap() {
        let name = tensor[0].as_str().unwrap();
        let mut shape: Vec<usize> = serde_json::from_value(tensor[1].clone()).unwrap();
        match name {
            _ if name.ends_with("word_embeddings.weight") => shape[0] = words,
            _ if name.ends_with("position_embeddings.weight") => shape[0] = positions,
            _ => {}
        }
        let (centre, size) = (tensor[2].as_f64().unwrap(), tensor[3].as_f64().unwrap());
        let from = data.len();
        for i in 0..shape.iter().product::<usize>() {
            let unit = ((from + i) * 7919 % 4001) as f64 / 2000.0 - 1.0;
            data.extend(((centre + size * unit) as f32).to_le_bytes());
        }
        let tensor = json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]});
        header.insert(name.into(), tensor);
    }
    let mut config = case["config"].clone();
    config["vocab_size"] = json!(words);
    config["max_position_embeddings"] = json!(positions);
    fs::create_dir(parties.path("hub")).unwrap();
    let header = Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    parties.write("hub/model.safetensors", &[&length, header.as_bytes(), &data[..]].concat());
    parties.write("hub/config.json", config.to_string().as_bytes());
    parties.write("hub/tokenizer.json", numbered["tokenizer"].to_string().as_bytes());
    parties.must(&["import", &parties.text("hub"), "--out", &parties.text("named")]);
    numbered["cases"].clone()
}

/// What the client's program makes of the texts is as long as the reference says, and private and simulated results agree.
#[test]
fn byte_level_and_unigram_words_go_through_the_program() {
    for (family, tokenizer, first) in [
        ("roberta_classes", "roberta", 2),
        ("xlm_roberta_tokens", "xlm_roberta", 2),
        ("albert_classes", "albert", 0),
    ] {
        let parties = Parties::new();
        let cases = folder(&parties, family, tokenizer, first);
        // Those that fit, of one text on one line.
        let fits = |case: &&Value| {
            let text = case["texts"][0].as_str().unwrap();
            case["cut"].is_null()
                && case["texts"].as_array().unwrap().len() == 1
                && !text.contains(['\n', '\t'])
        };
        let cases: Vec<&Value> = cases.as_array().unwrap().iter().filter(fits).collect();
        let (empty, full): (Vec<&Value>, Vec<&Value>) =
            cases.iter().partition(|case| case["texts"][0].as_str().unwrap().trim().is_empty());
        assert!(
            full.len() >= 4 && !empty.is_empty(),
            "{family}: {} and {}",
            full.len(),
            empty.len()
        );
        let lines: Vec<&str> = full.iter().map(|case| case["texts"][0].as_str().unwrap()).collect();
        // As many as a calibration takes without a word.
        let many: String = lines.iter().cycle().take(100).map(|line| format!("{line}\n")).collect();
        parties.write("samples.txt", many.as_bytes());
        parties.write("asked.txt", (lines.join("\n") + "\n").as_bytes());
        let model = parties.calibrated("named");
        let tokens = |case: &Value| case["words"].as_array().unwrap().len();
        let all = demo(&parties, &model, &["--file", &parties.text("asked.txt")]);
        // They come length by length.
        let results = all["results"].as_array().unwrap().iter();
        let mut found: Vec<u64> = results.map(|r| r["tokens"].as_u64().unwrap()).collect();
        let mut due: Vec<u64> = full.iter().map(|case| tokens(case) as u64).collect();
        found.sort_unstable();
        due.sort_unstable();
        assert_eq!(found, due, "{family}");
        let (_dealer, dealer) = parties.dealer("", None);
        let (_server, server) = parties.server("model = \"named\"\n", dealer, None);
        let config =
            parties.client_config("client", "lexicon = \"named-lexicon\"\n", [server, dealer]);
        let ask = |args: &[&str]| parties.infer(&config, args).results()[0]["tokens"].clone();
        // Accents or an emoji, and a text of special words alone.
        assert_eq!(ask(&["--text", lines[lines.len() - 1]]), tokens(full[full.len() - 1]));
        assert_eq!(ask(&["--text", ""]), tokens(empty[0]), "{family}");
        let long = "Never pad where the length may be public. ".repeat(4);
        parties.infer(&config, &["--text", &long]).failed(3, &["the model takes 24", "--truncate"]);
        assert_eq!(ask(&["--text", &long, "--truncate"]), 24);
        let pair = ["--text", "the first alone", "--pair", ""];
        assert!(ask(&pair).as_u64() > Some(tokens(empty[0]) as u64));
    }
}
