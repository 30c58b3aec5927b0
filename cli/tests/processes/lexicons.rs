//! A client's tokenizer and tables, where their maker or the server is hostile.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, process::Command, thread};

use sotto::{
    card::Card,
    messages::{self, ClientHello, ServerWelcome, step},
    model::Model,
};
use sotto_models::{Model as Description, length::Length};
use sotto_net::{Certificate, Endpoint, Identity, Link, Profile};

use crate::parties::{LOCAL, Parties};

const TEXT: [&str; 2] = ["--text", "the client sees"];

/// A client of texts that nobody serves.
fn alone(parties: &Parties, lines: &str) -> String {
    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    parties.client_config("client", lines, [nobody, nobody])
}

#[test]
fn a_client_insists_on_its_lexicon_before_it_dials() {
    let parties = Parties::new();
    parties.texts();
    let [ours, other] = ["texts-lexicon", "again"].map(|out| {
        let said = parties.must(&["lexicon", &parties.text("texts"), "--out", &parties.text(out)]);
        said.rsplit(' ').next().unwrap().trim().to_owned()
    });
    assert_eq!(ours, other, "one model, one hash");
    let pinned = |hash: &str| format!("lexicon = \"texts-lexicon\"\nlexicon_hash = \"{hash}\"\n");
    let wrong = pinned(&ours.replace(&ours[..4], "0000"));
    parties.infer(&alone(&parties, &wrong), &TEXT).failed(2, &["lexicon_hash", &ours]);
    let only = "lexicon_hash = \"00\"\n";
    parties.infer(&alone(&parties, only), &TEXT).failed(2, &["lexicon_hash", "FOLDER"]);
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server, _) = parties.serve_texts("", dealer);
    let config = parties.client_config("client", &pinned(&ours), [server, dealer]);
    assert_eq!(parties.infer(&config, &TEXT).results().len(), 1);
    // A tokenizer that counts otherwise, which the server knows of.
    let path = parties.path("texts-lexicon/tokenizer.json");
    let tokenizer = fs::read_to_string(&path).unwrap().replace("client", "clinet");
    fs::write(path, tokenizer).unwrap();
    parties.infer(&config, &TEXT).failed(2, &["lexicon_hash", &ours]);
}

#[test]
fn what_is_no_plain_file_is_neither_read_nor_waited_for() {
    let parties = Parties::new();
    parties.texts();
    let config = alone(&parties, "lexicon = \"bad\"\n");
    for name in ["arch.toml", "tokenizer.json", "tables.safetensors"] {
        for pipe in [true, false] {
            fs::create_dir(parties.path("bad")).unwrap();
            for file in ["arch.toml", "tokenizer.json", "tables.safetensors"] {
                let from = parties.path(&format!("texts-lexicon/{file}"));
                fs::copy(from, parties.path(&format!("bad/{file}"))).unwrap();
            }
            let path = parties.path(&format!("bad/{name}"));
            fs::remove_file(&path).unwrap();
            match pipe {
                true => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                false => symlink("/dev/zero", &path).unwrap(),
            }
            parties.infer(&config, &TEXT).failed(3, &[name, "plain file"]);
            fs::remove_dir_all(parties.path("bad")).unwrap();
        }
    }
}

#[test]
fn a_server_that_describes_another_model_than_the_lexicons_is_refused() {
    let parties = Parties::new();
    parties.texts();
    let model = Model::find(&parties.path("texts")).unwrap();
    let honest = model.card(1, Default::default());
    let changes: [fn(&mut Description); 3] = [
        |model| model.stack.width *= 2,
        |model| model.stack.heads = 1,
        |model| model.name = "another".into(),
    ];
    let identity = Identity::load(&parties.path(""), "server").unwrap();
    let pin = Certificate::load(&parties.path("client.cert")).unwrap();
    let rogue =
        Endpoint::bind(LOCAL, &identity, &[], &[("client".into(), pin)], Profile::loopback());
    let rogue = rogue.unwrap();
    let lines = "lexicon = \"texts-lexicon\"\n";
    let config = parties.client_config("client", lines, [rogue.local_addr(), LOCAL]);
    for change in changes {
        let mut other = model.arch.clone();
        change(&mut other);
        for row in &mut other.stack.attention {
            row.truncate(other.stack.heads);
        }
        // The hash that the client has, of which everybody knows.
        let card = Card { arch: other.to_toml(), ..honest.clone() };
        let plan = card.trace(Some(Length::Public(5))).unwrap().plan;
        let setup = plan.setup_bytes();
        let (model, epoch, masks) = ([0; 32], [0; 16], [0; 16]);
        let welcome = ServerWelcome::Card {
            name: "texts".into(),
            card,
            plan: plan.hash(),
            model,
            epoch,
            masks,
            setup: setup as u64,
            keeps: 0,
            waits: Vec::new(),
        };
        thread::scope(|scope| {
            let client = scope.spawn(|| parties.infer(&config, &TEXT));
            let mut link = rogue.accept(std::time::Duration::from_secs(20)).unwrap();
            let _: ClientHello = messages::recv(&mut link, step::HELLO).unwrap();
            messages::send(&mut link, step::WELCOME, &welcome).unwrap();
            // It may have gone.
            drop(messages::send_bytes(&mut link, step::SETUP, &vec![0; setup]));
            drop(link.finish());
            client.join().unwrap().failed(2, &["lexicon", "server"]);
        });
    }
}

#[test]
fn check_compares_a_client_with_its_server() {
    let parties = Parties::new();
    parties.texts();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_texts, texts, config) = parties.serve_texts("", dealer);
    let check = |config: &str| parties.sotto(&["check", "--config", config]);
    let fine = check(&config);
    assert_eq!(fine.code, 0, "{}", fine.out);
    assert!(fine.out.contains("ok   lexicon: ") && fine.out.contains("it takes texts"));
    let (_pictures, pictures) = parties.server("", dealer, None);
    let lexicon = "lexicon = \"texts-lexicon\"\n";
    let pinned = format!("lexicon_hash = \"00\"\n{lexicon}");
    let model = format!("model = \"00\"\n{lexicon}");
    let cases = [
        (texts, "", "FAIL `server`", "takes texts: `lexicon = FOLDER`"),
        (texts, &pinned[..], "FAIL lexicon", "`lexicon_hash`"),
        (texts, &model, "FAIL `server`", "it serves model"),
        (pictures, lexicon, "FAIL `server`", "takes pictures"),
        (pictures, "", "ok   `server`", "it takes pictures"),
    ];
    for (server, lines, fails, why) in cases {
        let said = check(&parties.client_config("client", lines, [server, dealer]));
        assert_eq!(said.code, i32::from(fails.starts_with("FAIL")), "{}", said.out);
        let line = said.out.lines().find(|line| line.starts_with(fails));
        assert!(line.is_some_and(|line| line.contains(why)), "{lines}: {}", said.out);
    }
}
