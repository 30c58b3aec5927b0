//! One server with several models: whoever asks gets the one that it asks for and may use, and no other's batches.

use std::net::SocketAddr;

use serde_json::Value;
use sotto::{
    config::Source,
    messages::{self, ClientHello, Reply, Request, ServerWelcome, step},
    model::{DEMO_IMAGES, Model},
    refusal::Refusal,
};
use sotto_models::{
    float::{NoProbe, forward},
    images::{Fit, normalise, read_cifar},
};
use sotto_net::QuicLink;

use crate::{
    hostile::{connect, endpoint, is_dropped, prepared},
    operations::udp_port,
    parties::{LOCAL, Parties, program},
    spawned::{Outcome, Process},
};

/// Two models of one architecture: their plans are one.
const BOTH: &str =
    "[[models]]\nmodel = \"model\"\n[[models]]\nname = \"other\"\nmodel = \"second\"\n";

/// More than private logits differ from plain ones, and far less than the models from each other.
const NEAR: f64 = 0.05;

impl Parties {
    /// The plain model's logits of the first pictures.
    pub fn plain(&self, model: &str, pictures: usize) -> Vec<Vec<f64>> {
        let model = Model::find(&self.path(model)).unwrap();
        let pictures =
            read_cifar(DEMO_IMAGES, "images.bin", &model.arch, Fit::Exact, pictures).unwrap();
        let pixels = model.arch.pixels().unwrap();
        let of = |picture| {
            let input = normalise(pixels, picture);
            let logits = forward(&model.arch, &model.weights, &input, &mut NoProbe);
            logits.into_iter().map(f64::from).collect()
        };
        pictures.iter().map(of).collect()
    }

    /// `[source]`'s dealer, if there is one.
    pub fn some_dealer(&self, source: &str) -> (Option<Process>, SocketAddr) {
        match source {
            "" => {
                let (process, at) = self.dealer("", None);
                (Some(process), at)
            }
            _ => (None, LOCAL),
        }
    }
}

/// Sources of correlations, as configurations have them.
pub const SOURCES: [&str; 2] = ["", "source = \"peer\"\n"];

fn logits(result: &Value) -> Vec<f64> {
    result["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Whether these results are those of the plain model whose logits are given, over and over.
pub fn are_of(results: &[Value], plain: &[Vec<f64>]) -> bool {
    let near = |(result, plain): (&Value, &Vec<f64>)| {
        logits(result).iter().zip(plain).all(|(a, b)| (a - b).abs() < NEAR)
    };
    results.iter().zip(plain.iter().cycle()).all(near)
}

/// What a client was told of the model.
pub fn setup(done: &Outcome) -> [String; 2] {
    let all: Value = serde_json::from_str(&done.out).unwrap();
    ["model", "model_hash"].map(|field| all["setup"][field].as_str().unwrap().to_owned())
}

#[test]
fn each_client_gets_the_model_that_it_asks_for() {
    let parties = Parties::new();
    parties.model("second", 2);
    let plain = ["model", "second"].map(|model| parties.plain(model, 4));
    let images = parties.text("images.bin");
    for source in SOURCES {
        let (_dealer, dealer) = parties.some_dealer(source);
        let (server_process, server) = parties.server(&format!("{source}{BOTH}"), dealer, None);
        let ask = |client: &str, model: &str| {
            let lines = format!("model = \"{model}\"\n{source}");
            parties.client_config(client, &lines, [server, dealer])
        };
        // At once, a model each: batches of one never serve the other.
        let configs = [ask("client", "model"), ask("second", "other")];
        let running = configs
            .each_ref()
            .map(|config| parties.start_infer(config, &["--json", "--limit", "4", &images]));
        let [first, second] = running.map(Process::finish);
        assert!(are_of(&first.results(), &plain[0]) && !are_of(&first.results(), &plain[1]));
        assert!(are_of(&second.results(), &plain[1]) && !are_of(&second.results(), &plain[0]));
        let [named, hashes] = [0, 1].map(|i| [&first, &second].map(|done| setup(done)[i].clone()));
        assert_eq!(named, ["model", "other"]);
        assert_ne!(hashes[0], hashes[1]);
        // By its hash it is insisted on, whatever its name.
        let done = parties.infer(&ask("client", &hashes[1]), &["--limit", "2", &images]);
        assert!(are_of(&done.results(), &plain[1]) && setup(&done)[0] == "other");
        let log = server_process.log.text();
        for (name, hash) in [("model", &hashes[0]), ("other", &hashes[1])] {
            assert!(log.contains(&format!("model {name} is {hash}")), "{log}");
        }

        // Whoever does not say which, or asks for none of them, is told which there are.
        let silent = parties.client_config("client", source, [server, dealer]);
        let refused = parties.infer(&silent, &["--limit", "1", &images]);
        refused.failed(4, &["model or other", "say which", "`model"]);
        let refused = parties.infer(&ask("client", "third"), &["--limit", "1", &images]);
        refused.failed(4, &["it serves model model or other", "you ask for third"]);
        let unknown = "0".repeat(64);
        let refused = parties.infer(&ask("client", &unknown), &["--limit", "1", &images]);
        refused.failed(4, &[&hashes[0], &hashes[1], &unknown]);
        let said = parties.sotto(&["check", "--config", &parties.text("client.toml")]);
        assert!(said.code == 1 && said.out.contains(&hashes[1]), "{}", said.out);
        parties.works(&ask("client", "other"));
        let said = parties.sotto(&["check", "--config", &parties.text("client.toml")]);
        assert_eq!(said.code, 0, "{}", said.out);
    }
    let said = parties.sotto(&["check", "--config", &parties.text("server.toml")]);
    for model in ["model `model`: model is ", "model `other`: second is "] {
        assert!(said.out.contains(&format!("ok   {model}")), "{}", said.out);
    }
}

#[test]
fn a_client_of_one_model_gains_no_other() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (_dealer, dealer) = parties.dealer("", None);
    let images = parties.text("images.bin");
    let all = parties.server_config(BOTH, dealer, None);
    let (server_process, server) = parties.start_server(&all);
    let ask = |lines: &str| parties.client_config("second", lines, [server, dealer]);
    let done = parties.infer(&ask("model = \"model\"\n"), &["--limit", "1", &images]);
    let hash = setup(&done)[1].clone();
    // A stream of the model that it may not use from now on.
    let mut stream =
        parties.start_infer(&ask("model = \"model\"\n"), &["--json-lines", &parties.many(200)]);
    for _ in 0..3 {
        stream.line();
    }
    let text = std::fs::read_to_string(&all).unwrap();
    let only = |may: &str| {
        let table = "certificate = \"second.cert\"\n";
        text.replace(table, &format!("{table}models = {may}\n"))
    };
    parties.write("server.toml", only("[\"other\"]").as_bytes());
    server_process.signal("USR1");
    stream.finish().failed(4, &["it serves model other", "you ask for model"]);
    // By name, by hash, and by saying nothing; it does not hear of what it may not use.
    for lines in ["model = \"model\"\n".to_owned(), format!("model = \"{hash}\"\n")] {
        let refused = parties.infer(&ask(&lines), &["--limit", "1", &images]);
        refused.failed(4, &["it serves model", "other"]);
        assert!(!refused.err.contains("model or"), "{}", refused.err);
        assert!(lines.contains(&hash) || !refused.err.contains(&hash), "{}", refused.err);
    }
    let done = parties.infer(&ask(""), &["--limit", "2", &images]);
    assert_eq!(setup(&done)[0], "other");
    assert!(are_of(&done.results(), &parties.plain("second", 2)));
    // The other client has both.
    let client = parties.client_config("client", "model = \"model\"\n", [server, dealer]);
    parties.works(&client);
    // A name that is none of the models is a mistake.
    for wrong in ["[\"third\"]", "[]"] {
        parties.write("server.toml", only(wrong).as_bytes());
        let said = parties.sotto(&["serve", "--config", &all]);
        said.failed(2, &["second", "model"]);
    }
}

/// Greets a server for a model and takes what comes.
fn greet(link: &mut QuicLink, name: &str) {
    let hello = ClientHello { name: Some(name.into()), ..ClientHello::new(Source::Dealer) };
    messages::send(link, step::HELLO, &hello).unwrap();
    let ServerWelcome::Card { setup, .. } = messages::welcome(link, drop).unwrap() else {
        panic!("an honest greeting is taken")
    };
    messages::recv_bytes(link, step::SETUP, setup as usize, &|_, _| Ok(())).unwrap();
}

#[test]
fn a_batch_of_one_model_is_burnt_for_another() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (_dealer, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server(BOTH, dealer, None);
    let hostile = endpoint(&parties, "client");
    let [mut first, mut other] = ["model", "other"].map(|name| {
        let mut link = connect(&hostile, "server", server);
        greet(&mut link, name);
        link
    });
    let (id, tag) = prepared(&mut first);
    // On a link for the other model it is as none: a new one is assigned.
    let ask = Request::Prepare { held: Some(id), ahead: 0 };
    messages::send(&mut other, step::REQUEST, &ask).unwrap();
    let Reply::Assigned(new) = messages::recv(&mut other, step::REPLY).unwrap() else {
        panic!("it is not this model's")
    };
    assert_ne!(new.id, id);
    while !matches!(messages::recv(&mut other, step::REPLY).unwrap(), Reply::Ready { .. }) {}
    messages::send(&mut other, step::REQUEST, &Request::Infer { id, tag }).unwrap();
    is_dropped(&mut other);
    server_process.log.wait_for(&format!("batch {id} is burnt"), 1);
    // A link for making is not to be had with a dealer, whatever it names.
    let mut making = connect(&hostile, "server", server);
    let hello = ClientHello {
        name: Some("third".into()),
        making: Some([1; 32]),
        ..ClientHello::new(Source::Dealer)
    };
    messages::send(&mut making, step::HELLO, &hello).unwrap();
    let said = messages::welcome(&mut making, drop).unwrap();
    assert!(matches!(said, ServerWelcome::Refused(Refusal::OtherModel { .. })));
}

#[test]
fn streams_of_two_models_outlive_restarts_of_server_and_dealer() {
    let parties = Parties::new();
    parties.model("second", 2);
    let lines = format!("pool_folder = \"pool\"\n{BOTH}");
    let (mut dealer_process, dealer) = parties.dealer("", None);
    let (mut server_process, server) = parties.server(&lines, dealer, None);
    let images = parties.many(60);
    let mut streams = [("client", "model"), ("second", "other")].map(|(client, model)| {
        let lines = format!("model = \"{model}\"\n");
        let config = parties.client_config(client, &lines, [server, dealer]);
        parties.start_infer(&config, &["--json-lines", &images])
    });
    let mut told: [Vec<Value>; 2] = Default::default();
    let mut some = |streams: &mut [Process; 2]| {
        for (stream, told) in streams.iter_mut().zip(&mut told) {
            told.extend((0..4).map(|_| serde_json::from_str(&stream.line()).unwrap()));
        }
    };
    some(&mut streams);
    server_process.kill();
    let (_server, _) = parties.server(&lines, dealer, Some(server));
    some(&mut streams);
    dealer_process.kill();
    let (_dealer, _) = parties.dealer("", Some(dealer));
    some(&mut streams);
    for ((stream, mut told), model) in streams.into_iter().zip(told).zip(["model", "second"]) {
        let done = stream.finish();
        assert_eq!(done.code, 0, "{}", done.err);
        told.extend(done.out.lines().map(|line| serde_json::from_str(line).unwrap()));
        // The first line is the setup's.
        assert_eq!(told.len(), 61);
        assert!(are_of(&told[1..], &parties.plain(model, DEMO_PICTURES)), "{}", done.err);
    }
    // Each has a folder of its own: neither burns the other's.
    for model in ["model", "other"] {
        assert!(parties.path("pool").join(model).join("owner").is_file(), "{model}");
    }
}

/// Pictures in `images.bin`, which `many` repeats.
const DEMO_PICTURES: usize = DEMO_IMAGES.len() / crate::parties::RECORD;

#[test]
fn models_of_pictures_and_texts_share_memory_quota_and_metrics() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let models = "[[models]]\nname = \"pictures\"\nmodel = \"model\"\nreveal = \"class\"\n[[models]]\nmodel = \"texts\"\n";
    let config = parties.server_config(&format!("memory = 64\n{models}"), dealer, None);
    let text = std::fs::read_to_string(&config).unwrap();
    let table = "certificate = \"client.cert\"\n";
    parties.write("server.toml", text.replace(table, &format!("{table}quota = 5\n")).as_bytes());
    let (server_process, server) = parties.start_server(&config);
    let pictures = parties.client_config("client", "model = \"pictures\"\n", [server, dealer]);
    let images = parties.text("images.bin");
    let done = parties.infer(&pictures, &["--limit", "2", &images]);
    assert!(done.results()[0].get("logits").is_none(), "the class alone");
    // Of the other kind, wherever it is found out: it is the input that is wrong, and what is taken is said.
    let lines = "model = \"pictures\"\nlexicon = \"texts-lexicon\"\n";
    let other = parties.client_config("second", lines, [server, dealer]);
    let refused = parties.infer(&other, &["--text", "the client sees"]);
    refused.failed(3, &["its model takes pictures", "hint: give picture files"]);
    let own = |model: &str, args: &[&str], takes: &str| {
        let demo = ["demo", "--model", &parties.text(model)];
        parties.sotto(&[&demo[..], args].concat()).failed(3, &[takes]);
    };
    own("model", &["--text", "the client sees"], "takes pictures");
    own("texts", &["--images", &images], "takes texts");
    let lines = "model = \"texts\"\nlexicon = \"texts-lexicon\"\n";
    let texts = parties.client_config("client", lines, [server, dealer]);
    let embed = |config: &str| {
        parties.sotto(&["embed", "--config", config, "--file", &parties.text("three.txt")])
    };
    let done = embed(&texts);
    assert_eq!(done.code, 0, "{}", done.err);
    // One quota for both, and what was charged of each.
    embed(&texts).failed(4, &["5 of 5 images"]);
    let pictures = parties.client_config("client", "model = \"pictures\"\n", [server, dealer]);
    parties.infer(&pictures, &["--limit", "1", &images]).failed(4, &["5 of 5 images"]);
    server_process.signal("TERM");
    server_process.wait_for_end();
    let usage: Value =
        serde_json::from_slice(&std::fs::read(parties.path("usage.json")).unwrap()).unwrap();
    let client = &usage["clients"]["client"];
    assert_eq!(client["models"]["pictures"]["images"], 2, "{usage}");
    assert_eq!(client["models"]["texts"]["images"], 3, "{usage}");
    let bits = |of: &Value| of["bits"].as_u64().unwrap();
    assert_eq!(bits(&client["models"]["pictures"]), 2 * 10, "one bit a class");
    let both = bits(&client["models"]["pictures"]) + bits(&client["models"]["texts"]);
    assert_eq!(bits(client), both);
}

#[test]
fn names_and_files_that_do_not_fit_are_explained() {
    let parties = Parties::new();
    let hash = "a".repeat(64);
    let named = |name: &str| format!("[[models]]\nname = \"{name}\"\nmodel = \"model\"\n");
    let cases = [
        (format!("{}{}", named("a"), named("a")), "`a` is the name of two models"),
        (named("no name"), "`no name` is no name of a model"),
        (named(".."), "`..` is no name"),
        (named(&hash), "no hash"),
        (format!("model = \"model\"\n{}", named("a")), "`model` beside [[models]]"),
        (named("a").repeat(17), "17 models; at most 16"),
        (format!("memory = 1\n{}{}", named("a"), named("b")), "`memory = 1` (MiB) has 2 parts"),
    ];
    for (lines, why) in cases {
        let config = parties.server_config(&lines, LOCAL, None);
        parties.sotto(&["serve", "--config", &config]).failed(2, &[why]);
        let said = parties.sotto(&["check", "--config", &config]);
        assert!(said.code == 1 && said.out.contains(why), "{}", said.out);
    }
}

#[test]
fn init_writes_folders_for_several_models() {
    let parties = Parties::new();
    parties.texts();
    let [server, dealer] = [(); 2].map(|()| format!("127.0.0.1:{}", udp_port()));
    let (out, models) = (parties.text("try"), ["texts", "model"].map(|name| parties.text(name)));
    let args = ["init", &out, "--server", &server, "--dealer", &dealer];
    let given = ["--model", &models[0], "--model", &models[1]];
    let twice = parties.sotto(&[&args[..], &given, &["--model", &models[0]]].concat());
    twice.failed(2, &["two models are called `texts`"]);
    let made = parties.sotto(&[&args[..], &given].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    // Clients ask for the first, and have its words.
    let client = parties.text("try/client/client.toml");
    assert!(made.out.contains("sotto embed") && parties.path("try/client/texts-lexicon").is_dir());
    let run = |name: &'static str, command: &str| {
        let config = parties.text(&format!("try/{name}/{name}.toml"));
        let mut process = Process::start(name, program().args([command, "--config", &config]));
        process.address();
        // Name and hash of each, behind the address.
        let served =
            if name == "server" { [process.line(), process.line()] } else { Default::default() };
        (process, served)
    };
    let ((_dealer, _), (_server, served)) = (run("dealer", "deal"), run("server", "serve"));
    assert!(served[0].starts_with("model texts ") && served[1].starts_with("model model "));
    let embedded =
        parties.sotto(&["embed", "--config", &client, "--file", &parties.text("three.txt")]);
    assert_eq!((embedded.code, embedded.out.lines().count()), (0, 3), "{}", embedded.err);
    for config in [&client, &parties.text("try/server/server.toml")] {
        let said = parties.sotto(&["check", "--config", config]);
        // Its own port is taken, by itself.
        let wrong = said.out.lines().filter(|l| l.starts_with("FAIL") && !l.contains("port:"));
        assert_eq!(wrong.count(), 0, "{}", said.out);
    }
    let text = std::fs::read_to_string(&client).unwrap();
    let hash = served[1].trim().rsplit(' ').next().unwrap();
    parties.write(
        "try/client/pictures.toml",
        text.replace("model = \"texts\"", &format!("model = \"{hash}\"")).as_bytes(),
    );
    parties.works(&parties.text("try/client/pictures.toml"));
}
