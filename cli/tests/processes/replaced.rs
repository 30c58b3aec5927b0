//! A model is replaced while its server runs: new streams have the new one, old streams finish on the old one.

use std::{fs, path::Path};

use serde_json::Value;
use sotto::client::{Client, Config};

use crate::{
    disks::files,
    hostile::{connect, endpoint, greet, prepared},
    models::{SOURCES, are_of, setup},
    parties::{Parties, wait_until},
    spawned::Process,
};

impl Parties {
    /// Puts another model's files in the place of one's.
    fn put(&self, from: &str, to: &str) {
        for file in ["arch.toml", "weights.safetensors", "calibration.toml"] {
            fs::copy(self.path(from).join(file), self.path(to).join(file)).unwrap();
        }
    }
}

/// Has a server read its file again.
fn reload(server: &Process, said: &str) {
    let before = server.log.text().matches(said).count();
    server.signal("USR1");
    server.log.wait_for(said, before + 1);
}

/// Pictures of a stream that is not at its end when the model is replaced.
const PICTURES: usize = 40;

#[test]
fn old_streams_finish_on_the_old_model_and_new_ones_have_the_new_one() {
    for source in SOURCES {
        let parties = Parties::new();
        parties.model("second", 2);
        let [old, new] = ["model", "second"].map(|model| parties.plain(model, 3));
        let (_dealer, dealer) = parties.some_dealer(source);
        let (server_process, server) = parties.server(source, dealer, None);
        let ask = |name: &str| parties.client_config(name, source, [server, dealer]);
        let (client, second) = (ask("client"), ask("second"));
        // The same pictures over and over, as there are plain results of.
        let three = fs::read(parties.path("images.bin")).unwrap()[..3 * crate::parties::RECORD]
            .repeat(PICTURES.div_ceil(3));
        parties.write("three.bin", &three);
        let images = parties.text("three.bin");
        let mut stream = parties.start_infer(&client, &["--json-lines", &images]);
        let first: Value = serde_json::from_str(&stream.line()).unwrap();
        let mut told: Vec<Value> =
            (0..2).map(|_| serde_json::from_str(&stream.line()).unwrap()).collect();

        // Nothing is another: nothing is replaced.
        reload(&server_process, "was read again: nobody is new");
        parties.put("second", "model");
        reload(&server_process, "model model is replaced");
        let done = parties.infer(&second, &["--limit", "3", &images]);
        assert!(are_of(&done.results(), &new) && !are_of(&done.results(), &old), "{source}");
        let [name, hash] = setup(&done);
        assert_eq!((name.as_str(), first["model"].as_str().unwrap()), ("model", "model"));
        assert_ne!(hash, first["model_hash"].as_str().unwrap());

        let done = stream.finish();
        assert_eq!(done.code, 0, "{source}{}", done.err);
        assert!(!done.err.contains("connecting again"), "{}", done.err);
        told.extend(done.out.lines().map(|line| serde_json::from_str(line).unwrap()));
        assert!(told.len() >= PICTURES && are_of(&told, &old), "{source}");
        let over = format!(
            "model model as it was, {}, is not used",
            first["model_hash"].as_str().unwrap()
        );
        server_process.log.wait_for(&over, 1);
        // Who insists on the old one is told what there is.
        let lines = format!("model = {}\n{source}", first["model_hash"]);
        let insists = parties.client_config("client", &lines, [server, dealer]);
        parties.infer(&insists, &["--limit", "1", &images]).failed(4, &[&hash, "you ask for"]);
        // The new one is what a restart finds, too.
        let mut server_process = server_process;
        server_process.kill();
        let (_server, _) = parties.server(source, dealer, Some(server));
        let done = parties.infer(&second, &["--limit", "3", &images]);
        assert!(are_of(&done.results(), &new) && setup(&done)[1] == hash);
    }
}

/// A client that asks one picture now and one later.
fn client(config: &str) -> Client {
    Client::new(Config::load(Path::new(config)).unwrap()).unwrap()
}

#[test]
fn a_stream_that_breaks_after_it_is_refused_and_an_idle_one_does_not_keep_the_old_model() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (_dealer, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let mut client = client(&config);
    let picture = fs::read(parties.path("images.bin")).unwrap()[1..crate::parties::RECORD].to_vec();
    let query = client.pixels("picture", picture).unwrap();
    assert_eq!(client.answer(std::slice::from_ref(&query)).unwrap().len(), 1);
    parties.put("second", "model");
    reload(&server_process, "model model is replaced");
    // It asks for nothing: its link ends after the deadline, and with it the old model.
    server_process.log.wait_for("is not used any more", 1);
    let refused = client.answer(&[query]).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("you ask for") && refused.exit_code() == 4, "{text}");
}

#[test]
fn what_cannot_be_served_changes_nothing() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (_dealer, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let images = parties.text("images.bin");
    let before = setup(&parties.infer(&config, &["--limit", "1", &images]));
    // Weights without their calibration, a cut file, none at all.
    let weights = parties.path("model/weights.safetensors");
    let (own, others) = (
        fs::read(&weights).unwrap(),
        fs::read(parties.path("second/weights.safetensors")).unwrap(),
    );
    for wrong in [Some(&others[..]), Some(&own[..own.len() / 2]), None] {
        match wrong {
            Some(bytes) => fs::write(&weights, bytes).unwrap(),
            None => fs::remove_file(&weights).unwrap(),
        }
        reload(&server_process, "the configuration stays as it was");
        assert_eq!(setup(&parties.infer(&config, &["--limit", "1", &images])), before);
    }
    // Each says which file and which model.
    let log = server_process.log.text();
    for line in log.lines().filter(|line| line.contains("the configuration stays as it was")) {
        for named in ["server.toml was not taken: ", "model `model` (model): "] {
            assert!(line.contains(named), "{line}");
        }
    }
    fs::write(&weights, own).unwrap();
    reload(&server_process, "was read again: nobody is new");
    assert_eq!(setup(&parties.infer(&config, &["--limit", "1", &images])), before);
    assert!(!server_process.log.text().contains("is replaced"));
}

#[test]
fn models_come_and_go_and_memory_is_one() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (_dealer, dealer) = parties.dealer("", None);
    let config = parties.server_config("", dealer, None);
    let (server_process, server) = parties.start_server(&config);
    let text = fs::read_to_string(&config).unwrap();
    let ask = |client: &str, model: &str| {
        let lines = format!("model = \"{model}\"\n");
        parties.client_config(client, &lines, [server, dealer])
    };
    let images = parties.many(PICTURES);
    let mut stream = parties.start_infer(&ask("client", "model"), &["--json-lines", &images]);
    for _ in 0..3 {
        stream.line();
    }
    // Another one comes, the first stays as it was.
    let tables = |first: &str| {
        format!("{first}[[models]]\nname = \"other\"\nmodel = \"second\"\nbatch = 2\n")
    };
    let text_of_both =
        text.replace("model = \"model\"\n", "") + &tables("[[models]]\nmodel = \"model\"\n");
    parties.write("server.toml", text_of_both.as_bytes());
    reload(&server_process, "model other is new");
    parties.works(&ask("second", "other"));
    parties.works(&ask("second", "model"));
    // The first goes; its stream finishes.
    let text_of_other = text.replace("model = \"model\"\n", "") + &tables("");
    parties.write("server.toml", text_of_other.as_bytes());
    reload(&server_process, "model model is gone");
    let refused = parties.infer(&ask("second", "model"), &["--limit", "1", &images]);
    refused.failed(4, &["it serves model other"]);
    let done = stream.finish();
    assert_eq!(done.code, 0, "{}", done.err);
    server_process.log.wait_for("is not used any more", 1);
    parties.works(&ask("second", "other"));
}

#[test]
fn a_model_that_does_not_fit_beside_the_old_one_waits_for_its_end() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (_dealer, dealer) = parties.dealer("", None);
    // Places for two batches: what the old one keeps as long as it is used.
    let config = parties.server_config("memory = 1\npool = 0\n", dealer, None);
    let (server_process, server) = parties.start_server(&config);
    let ask = |name: &str| parties.client_config(name, "", [server, dealer]);
    let (client, second) = (ask("client"), ask("second"));
    let mut stream = parties.start_infer(&client, &["--json-lines", &parties.many(PICTURES)]);
    for _ in 0..3 {
        stream.line();
    }
    parties.put("second", "model");
    reload(&server_process, "no memory for `model` beside what clients hold");
    let done = stream.finish();
    assert_eq!(done.code, 0, "{}", done.err);
    parties.works(&second);
    assert!(!server_process.log.text().contains("is replaced"));
    server_process.log.wait_for("has finished", 2);
    reload(&server_process, "model model is replaced");
    let done = parties.infer(&second, &["--limit", "3", &parties.text("images.bin")]);
    assert!(are_of(&done.results(), &parties.plain("second", 3)));
}

#[test]
fn texts_of_a_model_that_was_replaced_are_refused_at_their_next_length() {
    for source in SOURCES {
        let parties = Parties::new();
        parties.texts();
        let (_dealer, dealer) = parties.some_dealer(source);
        let (server_process, _, config) = parties.serve_texts(source, dealer);
        let mut client = client(&config);
        let ask = |client: &mut Client, text: &str| {
            let query = client.text(text, text).unwrap();
            client.answer(&[query])
        };
        assert!(ask(&mut client, "the client sees").is_ok());
        let same = "[[models]]\nname = \"texts\"\nmodel = \"texts\"\nbatch = 2\n";
        let text = fs::read_to_string(parties.path("server.toml")).unwrap();
        let text = text.replace("model = \"texts\"\n", "") + same;
        parties.write("server.toml", text.as_bytes());
        reload(&server_process, "model texts is replaced");
        // On its link, of this length, it is served; with another length it would be another model's.
        assert!(ask(&mut client, "the dealer sees").is_ok(), "{source}");
        let refused = ask(&mut client, "a share is one of two numbers").unwrap_err();
        assert!(refused.to_string().contains("something else"), "{source}{refused}");
        drop(client);
        server_process.log.wait_for("is not used any more", 1);
        let again =
            parties.must(&["embed", "--config", &config, "--file", &parties.text("three.txt")]);
        assert_eq!(again.lines().count(), 3);
    }
}

#[test]
fn a_change_that_is_refused_leaves_a_dealers_batches_on_the_disk() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (_dealer, dealer) = parties.dealer("", None);
    // Places for two.
    let lines =
        "memory = 1\npool = 3\npool_folder = \"server-pool\"\nusage_file = \"usage.json\"\n";
    let config = parties.server_config(lines, dealer, None);
    let (process, server) = parties.start_server(&config);
    let stored = || files(&parties.path("server-pool"), ".batch");
    // One of those that are ready is in memory.
    let full = |fetched| {
        process.log.wait_for("from the dealer", fetched);
        wait_until("a full pool", || stored().len() == 2);
        stored()
    };
    let before = full(3);
    let text = fs::read_to_string(&config).unwrap();
    let other = text.replace("model = \"model\"", "model = \"second\"");
    let refused = |text: &str, why: &str| {
        parties.write("server.toml", text.as_bytes());
        reload(&process, why);
    };
    refused(&other.replace("second.cert", "nobody.cert"), "nobody.cert");
    assert_eq!(stored(), before);
    // What clients are charged cannot be written down: only what was in memory had to give way.
    let usage = parties.path("usage.json");
    fs::remove_file(&usage).unwrap();
    fs::create_dir(&usage).unwrap();
    refused(&other, "usage.json");
    fs::remove_dir(&usage).unwrap();
    let after = full(4);
    assert!(after.contains(&before[1]), "{before:?} {after:?}");
    // A link holds what the other model needs.
    let client = endpoint(&parties, "client");
    let mut link = connect(&client, "server", server);
    greet(&mut link);
    prepared(&mut link);
    let before = full(5);
    refused(&other, "no memory for `second`");
    assert_eq!(stored(), before);
    drop(link);
    let config = parties.client_config("client", "", [server, dealer]);
    let done = parties.infer(&config, &["--limit", "4", &parties.text("images.bin")]);
    assert!(are_of(&done.results(), &parties.plain("model", 4)));
    assert!(!process.log.text().contains("supply of correlations"), "{}", process.log.text());
}
