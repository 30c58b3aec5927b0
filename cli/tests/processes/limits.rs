//! What one client may take: images, batches, connections, memory.

use std::fs;

use sotto::{
    messages::{self, Reply, Request, step},
    refusal::Refusal,
};
use sotto_net::Link;

use crate::{
    hostile::{connect, endpoint, greet},
    parties::{Parties, wait_until},
};

/// `server.toml` with more lines for `client`.
fn limited(parties: &Parties, config: &str, lines: &str) {
    let text = fs::read_to_string(config).unwrap();
    let table = "certificate = \"client.cert\"\n";
    parties.write("server.toml", text.replace(table, &(table.to_owned() + lines)).as_bytes());
}

#[test]
fn a_quota_holds_over_restarts_and_for_its_client_alone() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (mut server_process, server) = parties.server("", dealer, None);
    server_process.kill();
    let written = parties.server_config("", dealer, Some(server));
    limited(&parties, &written, "quota = 5\n");
    let start = || {
        let command = &mut crate::parties::program();
        let mut process =
            crate::spawned::Process::start("server", command.args(["serve", "--config", &written]));
        process.address();
        process
    };
    let images = parties.text("images.bin");
    let mut first = start();
    let config = parties.client_config("client", "", [server, dealer]);
    assert_eq!(parties.infer(&config, &["--limit", "3", &images]).classes().len(), 3);
    // This model reveals 10 logits of 17 bits.
    first.log.wait_for("at most 510 bits of the model in 3 images", 1);
    first.kill();
    let second = start();
    let refused = parties.infer(&config, &["--limit", "4", &images]);
    refused.failed(4, &["server", "5 of 5 images are used up", "operator"]);
    let other = parties.client_config("second", "", [server, dealer]);
    assert_eq!(parties.infer(&other, &["--limit", "8", &images]).classes().len(), 8);
    let text = fs::read_to_string(parties.path("usage.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written["clients"]["client"]["images"], 5);
    assert_eq!(written["clients"]["client"]["bits"], 5 * 170);
    drop(second);
}

#[test]
fn a_server_that_is_asked_to_stop_gives_back_what_was_charged_ahead() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let written = parties.server_config("", dealer, None);
    let observed = fs::read_to_string(&written).unwrap();
    let observed = observed.replace("[own]\n", "[own]\nhealth = \"127.0.0.1:0\"\n");
    parties.write("server.toml", observed.as_bytes());
    limited(&parties, &written, "quota = 1000\n");
    let (server, at) = parties.start_server(&written);
    let config = parties.client_config("client", "", [at, dealer]);
    let images = parties.text("images.bin");
    assert_eq!(parties.infer(&config, &["--limit", "2", &images]).classes().len(), 2);
    let charged = || {
        let text = fs::read_to_string(parties.path("usage.json")).unwrap();
        let written: serde_json::Value = serde_json::from_str(&text).unwrap();
        written["clients"]["client"]["images"].clone()
    };
    assert_eq!(charged(), 62);
    server.signal("TERM");
    assert_eq!(server.finish().code, 0);
    assert_eq!(charged(), 2);
}

#[test]
fn a_rate_slows_a_client_down() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let written = parties.server_config("", dealer, None);
    limited(&parties, &written, "rate = 60\n");
    let command = &mut crate::parties::program();
    let mut process =
        crate::spawned::Process::start("server", command.args(["serve", "--config", &written]));
    let server = process.address();
    let config = parties.client_config("client", "", [server, dealer]);
    let start = std::time::Instant::now();
    assert_eq!(parties.infer(&config, &["--limit", "62", &parties.many(62)]).classes().len(), 62);
    assert!(start.elapsed().as_secs_f64() > 0.9, "60 at once, then one a second");
}

#[test]
fn a_client_that_asks_and_does_not_use_takes_little() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (server_process, server) =
        parties.server("pool = 2\npool_folder = \"pool\"\n", dealer, None);
    let config = parties.client_config("second", "", [server, dealer]);
    let dealt = || server_process.log.text().matches("from the dealer").count();
    wait_until("a full pool", || dealt() == 2);
    let greedy = endpoint(&parties, "client");
    // Links that ask for nothing cost no batch.
    let mut idle: Vec<_> = (0..8).map(|_| connect(&greedy, "server", server)).collect();
    idle.iter_mut().for_each(greet);
    parties.works(&config);
    wait_until("a full pool", || dealt() == 3);
    drop(idle);
    // One link may hold a few batches and no more, however often it asks.
    let mut link = connect(&greedy, "server", server);
    greet(&mut link);
    let mut refusals = 0;
    for _ in 0..20 {
        messages::send(&mut link, step::REQUEST, &Request::Prepare { held: None, ahead: 50 })
            .unwrap();
        loop {
            match messages::recv(&mut link, step::REPLY).unwrap() {
                Reply::Ready { .. } => break,
                Reply::Refused(why) => {
                    assert!(matches!(why, Refusal::Busy(_)), "{why}");
                    refusals += 1;
                    break;
                }
                _ => {}
            }
        }
    }
    assert!(refusals >= 12, "{refusals} of 20 refused");
    assert!(dealt() <= 3 + 8 + 2, "{} dealt", dealt());
    drop(link);
    // Whoever comes again and again to leave batches unused is sent away for a while; others are served.
    let mut rated = false;
    for _ in 0..60 {
        let mut link = connect(&greedy, "server", server);
        greet(&mut link);
        let ask = Request::Prepare { held: None, ahead: 0 };
        messages::send(&mut link, step::REQUEST, &ask).unwrap();
        let reply = loop {
            let reply = messages::recv(&mut link, step::REPLY).unwrap();
            if matches!(reply, Reply::Ready { .. } | Reply::Refused(_)) {
                break reply;
            }
        };
        match reply {
            Reply::Refused(Refusal::Rate(_)) => {
                rated = true;
                break;
            }
            // A batch that is burnt by a lie is not used, either.
            Reply::Ready { id, .. } if id % 2 == 0 => {
                let lie = Request::Infer { id, tag: [0; 16] };
                messages::send(&mut link, step::REQUEST, &lie).unwrap();
                assert!(link.recv(0, 1).is_err());
            }
            _ => {}
        }
    }
    assert!(rated, "{} dealt", dealt());
    parties.works(&config);
    let files = fs::read_dir(parties.path("pool")).unwrap().count();
    assert!(files <= 4, "{files} files stay");
}

#[test]
fn one_client_leaves_batches_for_the_others() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    // Room for a few batches.
    let (_server, server) = parties.server("pool = 1\nmemory = 1\n", dealer, None);
    let config = parties.client_config("second", "", [server, dealer]);
    let greedy = endpoint(&parties, "client");
    let mut links: Vec<_> = (0..6).map(|_| connect(&greedy, "server", server)).collect();
    let (mut ready, mut refused) = (0, 0);
    for link in &mut links {
        greet(link);
        let ask = Request::Prepare { held: None, ahead: 50 };
        messages::send(link, step::REQUEST, &ask).unwrap();
    }
    for link in &mut links {
        loop {
            match messages::recv(link, step::REPLY).unwrap() {
                Reply::Ready { ahead, .. } => {
                    ready += 1 + ahead.len();
                    break;
                }
                Reply::Refused(why) => {
                    assert!(matches!(why, Refusal::Busy(_)), "{why}");
                    refused += 1;
                    break;
                }
                _ => {}
            }
        }
    }
    assert!(ready > 0 && refused > 0, "{ready} batches, {refused} links refused");
    // They are all held, and the other client is served as if nothing were.
    let images = parties.text("images.bin");
    assert_eq!(parties.infer(&config, &["--limit", "4", &images]).classes().len(), 4);
    drop(links);
}

#[test]
fn memory_without_room_for_two_batches_is_refused_by_server_and_client() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let serve = parties.server_config("memory = 0\n", dealer, None);
    let refused = parties.sotto(&["serve", "--config", &serve]);
    refused.failed(2, &["`memory = 0`", "two batches", "raise it to 1 or more"]);
    let (_server, server) = parties.server("", dealer, None);
    let images = parties.text("images.bin");
    let config = parties.client_config("client", "memory = 0\n", [server, dealer]);
    let refused = parties.infer(&config, &["--limit", "1", &images]);
    refused.failed(2, &["`memory = 0`", "two batches", "raise it to"]);
    // What fits is ahead of the evaluation, however many are wished for.
    let config = parties.client_config("client", "memory = 1\npool = 1000\n", [server, dealer]);
    assert_eq!(parties.infer(&config, &["--limit", "8", &images]).classes().len(), 8);
}
