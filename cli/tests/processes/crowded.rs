//! Who holds what others wait for, and uses none of it: it gives way, and comes back when it has something to ask.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sotto::{
    client::{Client, Config},
    config::Source,
    messages::{self, ClientHello, Request, ServerWelcome, step},
};
use sotto_models::length::Length;
use sotto_net::{Endpoint, Identity, Link, QuicLink};
use sotto_protocols::Role;
use sotto_session::longest;

use crate::{
    hostile::{connect, endpoint, prepared},
    parties::{LOCAL, Parties},
};

/// A link that waits for a request for so long may be ended.
const IDLE: Duration = Duration::from_millis(5200);

#[test]
fn lengths_that_idle_links_hold_are_for_whoever_has_a_text() {
    let mut parties = Parties::new();
    parties.deadline = 15;
    parties.texts();
    Identity::generate("third").unwrap().save(&parties.path("")).unwrap();
    let lines = "source = \"peer\"\nmodel = \"texts\"\n";
    let config = parties.server_config(lines, LOCAL, None);
    let text = fs::read_to_string(&config).unwrap() + &Parties::peer("[[clients]]", "third", None);
    parties.write("server.toml", text.as_bytes());
    let (process, server) = parties.start_server(&config);
    let lines = "source = \"peer\"\npool = 1\nlexicon = \"texts-lexicon\"\n";
    let of = |name| parties.client_config(name, lines, [server, LOCAL]);

    // Two clients hold all lengths: one of them has asked, and may ask again.
    let mut stays = Client::new(Config::load(Path::new(&of("second"))).unwrap()).unwrap();
    let asked = stays.text("first", "a share is one of two numbers").unwrap();
    assert_eq!(asked.length(), Some(Length::Public(9)));
    let before = stays.answer(std::slice::from_ref(&asked)).unwrap();
    let open = |client: &Endpoint, rows: u32| -> QuicLink {
        let mut link = connect(client, "server", server);
        let length = Some(Length::Public(rows));
        let hello = ClientHello { length, ..ClientHello::new(Source::Peer) };
        messages::send(&mut link, step::HELLO, &hello).unwrap();
        let said = messages::welcome(&mut link, drop).unwrap();
        assert!(matches!(said, ServerWelcome::Card { .. }), "{rows}");
        link
    };
    let [first, second] = ["client", "second"].map(|name| endpoint(&parties, name));
    let mut held: Vec<_> = [1, 2, 3].map(|rows| open(&second, rows)).into();
    held.extend([5, 6, 7, 8].map(|rows| open(&first, rows)));
    // A third one has a text of another length.
    let third = of("third");
    let args = ["--text", "the client"];
    thread::sleep(IDLE);
    assert_eq!(parties.infer(&third, &args).results()[0]["tokens"], 4);
    process.log.wait_for("an idle link of second gives way", 1);
    // Who was idle for longest had to go, and is served again when it asks.
    let after = stays.answer(&[asked]).unwrap();
    let [before, after] = [before, after].map(|all| format!("{:?}", all[0].found).len());
    assert!(before > 0 && after > 0);
    process.log.wait_for("gives way", 2);
    stays.leave();
    let mut ended = 0;
    for link in &mut held {
        link.set_deadline(Duration::from_millis(200));
        match link.recv_upto(step::REPLY, 1 << 20).unwrap_err() {
            sotto_net::Error::Deadline { .. } => {}
            gone => {
                assert!(gone.to_string().contains("others wait"), "{gone}");
                ended += 1;
            }
        }
    }
    assert!(ended < 3, "no more than was needed: {ended}");
}

#[test]
fn an_evaluation_whose_messages_all_come_just_in_time_has_a_time_in_all() {
    let mut parties = Parties::new();
    parties.deadline = 2;
    let (_dealer, dealer) = parties.dealer("", None);
    let (process, server) = parties.server("", dealer, None);
    let client = endpoint(&parties, "client");
    let mut link = connect(&client, "server", server);
    messages::send(&mut link, step::HELLO, &ClientHello::new(Source::Dealer)).unwrap();
    let welcome = messages::welcome(&mut link, drop).unwrap();
    let ServerWelcome::Card { card, setup, .. } = welcome else { panic!("it is served") };
    messages::recv_bytes(&mut link, step::SETUP, setup as usize, &|_, _| Ok(())).unwrap();
    let plan = card.trace(None).unwrap().plan;
    let (id, tag) = prepared(&mut link);
    let start = Instant::now();
    messages::send(&mut link, step::REQUEST, &Request::Infer { id, tag }).unwrap();
    let in_all = longest::evaluation(&plan, Duration::from_secs(2));
    let mut sent = 0;
    for level in 0..plan.levels.len() {
        let bytes = plan.level_bytes(level, Role::Client);
        if bytes == 0 {
            continue;
        }
        // Whatever it is, it is uniform to the server.
        if link.send(level as u32, vec![0; bytes]).is_err() {
            break;
        }
        sent += 1;
        thread::sleep(Duration::from_millis(1700));
    }
    process.log.wait_for("neither sent nor took anything", 1);
    let took = start.elapsed();
    assert!(sent < 24 && took < in_all + Duration::from_secs(4), "{sent} messages, {took:?}");
    assert!(took > in_all - Duration::from_secs(4), "it has as long as it may take: {took:?}");
}

#[test]
fn two_processes_with_one_key_share_a_quota_to_the_last_image() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let written = parties.server_config("", dealer, None);
    let text = fs::read_to_string(&written).unwrap();
    let table = "certificate = \"client.cert\"\n";
    let text = text.replace(table, &(table.to_owned() + "quota = 9\n"));
    parties.write("server.toml", text.as_bytes());
    let (mut process, server) = parties.start_server(&written);
    let config = parties.client_config("client", "", [server, dealer]);
    let many = parties.many(8);
    let start = || parties.start_infer(&config, &["--json-lines", &many]);
    let both = [start(), start()].map(|client| client.finish());
    let results = |out: &str| out.lines().filter(|line| line.contains("\"class\"")).count();
    let answered: usize = both.iter().map(|done| results(&done.out)).sum();
    assert_eq!(answered, 9, "{}\n{}", both[0].err, both[1].err);
    let refused: BTreeSet<_> = both.iter().map(|done| done.code).collect();
    assert!(refused.contains(&4), "{}", both[0].err);
    let charged = || {
        let text = fs::read_to_string(parties.path("usage.json")).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        written["clients"]["client"]["images"].clone()
    };
    assert_eq!(charged(), 9);
    process.kill();

    // A file that is damaged, empty or another's is no reason to begin anew: it is refused, whole, and kept.
    for broken in [&b""[..], b"\0\0\0\0", b"{", b"[]", b"{\"server\":\"server\"}", &[b' '; 4096]] {
        parties.write("usage.json", broken);
        parties.sotto(&["serve", "--config", &written]).failed(2, &["usage.json"]);
        assert_eq!(fs::read(parties.path("usage.json")).unwrap(), broken);
    }
    for images in ["18446744073709551615", "-1", "1e3"] {
        let text = format!(
            "{{\"server\":\"server\",\"clients\":{{\"client\":{{\"images\":{images},\"bits\":0}}}}}}"
        );
        parties.write("usage.json", text.as_bytes());
        if images.starts_with("18") {
            let (_process, server) = parties.start_server(&written);
            let config = parties.client_config("client", "", [server, dealer]);
            let refused = parties.infer(&config, &["--limit", "1", &many]);
            refused.failed(4, &["are used up"]);
        } else {
            parties.sotto(&["serve", "--config", &written]).failed(2, &["usage.json"]);
        }
    }
}
