//! `sotto-client` as a library: its examples, and a client in memory, against the stock processes.

use std::{
    fs,
    io::Cursor,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use image::{ImageFormat, RgbImage};
use serde_json::Value;
use sotto::{
    Error,
    client::{Certificate, Client, Config, Found, Identity, Lexicon, Peer, Profile, Query, Reveal},
    model::DEMO_IMAGES,
};

use crate::{
    parties::{LOCAL, Parties, RECORD},
    spawned::Process,
};

/// Builds an example of the crate, as the workspace is built, beside the program under test.
fn example(name: &str) -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_sotto"));
    let folder = program.parent().unwrap();
    let profile = if folder.ends_with("release") { "release" } else { "dev" };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--locked", "--workspace", "--profile", profile])
        .args(["--example", name, "--target-dir"])
        .arg(folder.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder.join("examples").join(name)
}

/// The pixels of an embedded picture: planes, rows, columns.
fn pixels(number: usize) -> Vec<u8> {
    DEMO_IMAGES[number * RECORD + 1..(number + 1) * RECORD].to_vec()
}

/// The same as a PNG file.
fn png(number: usize) -> Vec<u8> {
    let planes = pixels(number);
    let picture = RgbImage::from_fn(32, 32, |x, y| {
        let at = (y * 32 + x) as usize;
        image::Rgb([planes[at], planes[1024 + at], planes[2048 + at]])
    });
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

impl Parties {
    /// A client's configuration of texts in memory: no path in it.
    fn told(&self, server: SocketAddr, dealer: Option<SocketAddr>) -> Config {
        let text = |file: &str| fs::read_to_string(self.path(file)).unwrap();
        let peer = |name: &str, at: SocketAddr| {
            let certificate = Certificate::from_pem(&text(&format!("{name}.cert"))).unwrap();
            Peer::new(name, certificate, &at.to_string())
        };
        let own = Identity::from_pem("client", &text("client.cert"), &text("client.key")).unwrap();
        let dealer = dealer.map(|at| peer("dealer", at));
        let mut config = Config::new(own, peer("server", server), dealer);
        config.profile = Profile::loopback();
        config
    }
}

const SOURCES: [&str; 2] = ["", "source = \"peer\"\n"];

#[test]
#[ignore = "builds the workspace's libraries; .ci/run, where they are built, asks for it"]
fn the_examples_print_what_the_program_finds() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let files = [0, 1].map(|number| format!("{number}.png"));
    (0..2).for_each(|number| parties.write(&files[number], &png(number)));
    let files = files.map(|file| parties.text(&file));
    let [classify, embed] = ["classify", "embed"].map(example);
    for source in SOURCES {
        let (_server, server) = parties.server(source, dealer, None);
        let config = parties.client_config("client", source, [server, dealer]);
        let said =
            Process::start("client", Command::new(&classify).arg(&config).args(&files)).finish();
        assert_eq!(said.code, 0, "{}", said.err);
        let named = |result: &Value| {
            let text = |field: &str| result[field].as_str().unwrap().to_owned();
            format!("{}/{}: {}\n", parties.text(""), text("name"), text("class_name"))
        };
        let told = parties.infer(&config, &[&files[0], &files[1]]);
        let lines: String = told.results().iter().map(named).collect();
        assert_eq!(said.out.replace("//", "/"), lines.replace("//", "/"));

        let (_server, _, config) = parties.serve_texts(source, dealer);
        let texts = ["the client sees neither", "a share"];
        let said = Process::start("client", Command::new(&embed).arg(&config).args(texts)).finish();
        assert_eq!(said.code, 0, "{}", said.err);
        let rows: Vec<usize> = said.out.lines().map(|line| line.split(' ').count()).collect();
        let told =
            parties.must(&["embed", "--config", &config, "--text", texts[0], "--text", texts[1]]);
        let numbers = |text: &str| {
            let all = text.split_whitespace().map(|number| number.parse::<f64>().unwrap());
            all.collect::<Vec<_>>()
        };
        assert_eq!(rows.len(), 2);
        for (ours, theirs) in numbers(&said.out).iter().zip(numbers(&told)) {
            assert!((ours - theirs).abs() < 0.05, "{ours} {theirs}");
        }
    }
}

#[test]
fn a_client_in_memory_gets_a_batch_ready_before_it_has_a_picture() {
    let parties = Parties::new();
    for source in SOURCES {
        let (mut dealer_process, dealer) = parties.dealer("", None);
        let (_server, server) = parties.server(&format!("pool = 1\n{source}"), dealer, None);
        let with_dealer = source.is_empty();
        let mut client = Client::new(parties.told(server, with_dealer.then_some(dealer))).unwrap();
        client.wait_until_ready(None).unwrap();
        // What is asked for again is there.
        client.wait_until_ready(None).unwrap();
        dealer_process.kill();
        let decoded = client.picture("a file", &png(3)).unwrap();
        let answers = client.answer(std::slice::from_ref(&decoded)).unwrap();
        let Query::Picture(picture) = decoded else { panic!("not a picture") };
        assert!(picture.pixels == pixels(3), "a picture of the model's size stays as it is");
        let Found::Class { class, class_name, logits } = &answers[0].found else {
            panic!("{:?}", answers[0].found)
        };
        let logits = logits.as_ref().unwrap();
        assert_eq!((answers[0].logits(), answers[0].reveal), (Some(&logits[..]), Reveal::Logits));
        assert_eq!((logits.len(), class_name.is_empty(), *class < 10), (10, false, true));
        assert!(answers[0].costs.flights > 0 && answers[0].costs.offline_bytes > 0);
        client.leave();
    }
}

#[test]
fn answers_come_in_the_order_of_the_questions() {
    let parties = Parties::new();
    parties.texts();
    let (_server, server, _) = parties.serve_texts(SOURCES[1], LOCAL);
    let mut config = parties.told(server, None);
    let nothing = Client::new(parties.told(server, None)).unwrap();
    assert_eq!(nothing.text("no lexicon", "a share").err().unwrap().exit_code(), 2);
    config.lexicon = Some(Lexicon::load(&parties.path("texts-lexicon")).unwrap().into());
    let mut client = Client::new(config).unwrap();
    let texts = ["the client sees neither", "a share", "the server"];
    let texts: Vec<Query> = texts.iter().map(|text| client.text(text, text).unwrap()).collect();
    client.wait_until_ready(texts[1].length()).unwrap();
    let answers = client.answer(&texts).unwrap();
    for (text, answer) in texts.iter().zip(&answers) {
        assert_eq!((text.name(), text.words()), (&answer.name[..], answer.tokens));
        assert!(matches!(answer.found, Found::Embedding { .. }) && answer.logits().is_none());
    }
    client.leave();
}

#[test]
fn pictures_of_another_size_are_refused_before_they_are_sent() {
    let parties = Parties::new();
    let (_server, server) = parties.server(SOURCES[1], LOCAL, None);
    let mut client = Client::connect(parties.told(server, None), None).unwrap();
    let refused = client.pixels("short", vec![0; 12]).err().unwrap();
    assert!(refused.to_string().contains("short: 12 bytes"), "{refused}");
    assert!(client.pixels("right", pixels(0)).is_ok());
    assert_eq!(client.picture("none", b"text").err().unwrap().exit_code(), 3);
}

/// What a client meets that is stopped; nobody would wait for its deadline.
fn stopped(mut config: Config) -> Error {
    config.deadline = Duration::from_secs(3600);
    Client::connect(config, None).err().expect("it is stopped")
}

#[test]
fn a_client_is_stopped_while_nobody_answers() {
    let parties = Parties::new();
    let silent = UdpSocket::bind(LOCAL).unwrap();
    let config = parties.told(silent.local_addr().unwrap(), None);
    let stop = config.stop.clone();
    let asked = thread::spawn(move || {
        silent.recv_from(&mut [0; 2048]).unwrap();
        stop.ask();
        silent
    });
    let e = stopped(config);
    assert!(matches!(e, Error::Stopped), "{e}");
    asked.join().unwrap();
}

#[test]
fn a_client_is_stopped_while_weights_come_in() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (process, server) = parties.server("", dealer, None);
    let mut config = parties.told(server, Some(dealer));
    let (stop, asked) = (config.stop.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&asked);
    config.progress = Box::new(move |_, _| {
        let stop = stop.clone();
        counted.fetch_add(1, Ordering::Relaxed);
        thread::spawn(move || stop.ask()).join().unwrap();
    });
    // What is here already is not taken for more than it is.
    let done = Client::connect(config, None).and_then(|mut client| client.wait_until_ready(None));
    assert!(matches!(done, Err(Error::Stopped)), "{done:?}");
    assert!(asked.load(Ordering::Relaxed) > 0);
    process.log.wait_for("it is being stopped", 1);
}
