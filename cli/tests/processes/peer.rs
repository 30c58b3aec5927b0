//! Server and client without a dealer: they make their correlations by themselves.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use sotto::{
    config::Source,
    messages::{self, ClientHello, Nonce, Reply, Request, ServerWelcome, step},
    refusal::Refusal,
    workshop::{COTS, Workshop, session},
};
use sotto_net::{Link, QuicLink};
use sotto_protocols::{
    Role,
    make::{Setup, whole_recipe},
};

use crate::{
    hostile::{connect, endpoint, is_dropped},
    parties::{LOCAL, Parties, wait_until},
    spawned::Process,
};

impl Parties {
    /// Starts a server that has no dealer.
    pub fn peer_server(&self, lines: &str, at: Option<SocketAddr>) -> (Process, SocketAddr) {
        let lines = format!("source = \"peer\"\n{lines}");
        let config = self.server_config(&lines, LOCAL, at);
        self.start_server(&config)
    }

    /// Writes the configuration of a client that has none.
    pub fn peer_client(&self, name: &str, lines: &str, server: SocketAddr) -> String {
        self.client_config(name, &format!("source = \"peer\"\n{lines}"), [server, LOCAL])
    }
}

#[test]
fn the_demo_without_a_dealer_counts_what_the_plan_says() {
    let parties = Parties::new();
    let (model, images) = (parties.text("model"), parties.text("images.bin"));
    let args = ["--source", "peer", "--model", &model, "--images", &images, "--limit", "3"];
    let done = parties.sotto(&[&["demo", "--json"], &args[..]].concat());
    assert_eq!(done.code, 0, "{}", done.err);
    let all: Value = serde_json::from_str(&done.out).unwrap();
    for field in ["setup_bytes", "offline_bytes", "offline_flights", "online_bytes", "flights"] {
        assert_eq!(all[field], all["planned"][field], "{field}");
        assert!(all[field].as_u64().unwrap() > 0, "{field}");
    }
    let plan = parties.sotto(&["plan", "--json", "--source", "peer", &model]);
    let plan: Value = serde_json::from_str(&plan.out).unwrap();
    assert_eq!(plan["planned"], all["planned"], "sotto plan");
    let said = parties.sotto(&["plan", "--source", "peer", &model]);
    assert!(said.out.contains("between the two, in"), "{}", said.out);
    assert_eq!(all["agree_simulator"], 3);
    assert!(all["max_logit_error"].as_f64().unwrap() < 0.05);
}

#[test]
fn two_clients_get_the_classes_that_a_dealer_would_give_them() {
    let parties = Parties::new();
    let images = parties.text("images.bin");
    let expected = {
        let (_dealer, dealer) = parties.dealer("", None);
        let (_server, server) = parties.server("", dealer, None);
        let config = parties.client_config("client", "", [server, dealer]);
        parties.infer(&config, &["--limit", "4", &images]).classes()
    };
    let (server_process, server) = parties.peer_server("", None);
    let clients = [("client", "pool = 0\n"), ("second", "pool = 2\n")]
        .map(|(name, lines)| parties.peer_client(name, lines, server));
    let running = clients
        .each_ref()
        .map(|config| parties.start_infer(config, &["--json", "--limit", "4", &images]));
    for client in running {
        assert_eq!(client.finish().classes(), expected);
    }
    let mut used = server_process.log.batches(8);
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), 8, "a batch was used twice");
    // Both links of each client end well.
    server_process.log.wait_for("has finished", 4);
    assert!(!server_process.log.text().contains("WARN"), "{}", server_process.log.text());
}

#[test]
fn a_client_without_a_dealer_outlives_a_crash_of_the_server_and_the_server_one_of_a_client() {
    let parties = Parties::new();
    let (mut first, server) = parties.peer_server("", None);
    let config = parties.peer_client("client", "pool = 1\n", server);
    let mut client = parties.start_infer(&config, &["--json-lines", &parties.many(12)]);
    for _ in 0..3 {
        client.line();
    }
    first.kill();
    let (_second, _) = parties.peer_server("", Some(server));
    let done = client.finish();
    assert_eq!(done.code, 0, "{}", done.err);
    let mut killed = parties.start_infer(&config, &["--json-lines", &parties.many(12)]);
    for _ in 0..2 {
        killed.line();
    }
    killed.kill();
    parties.works(&config);
}

#[test]
fn sources_that_do_not_fit_are_explained() {
    let parties = Parties::new();
    let images = parties.text("images.bin");
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.peer_server("", None);
    let config = parties.client_config("client", "", [server, dealer]);
    let refused = parties.infer(&config, &["--limit", "1", &images]);
    refused.failed(4, &["server", "source", "dealer"]);
    // A table without its source, and a source without its table.
    let both = parties.server_config("", dealer, None);
    let text = std::fs::read_to_string(&both).unwrap();
    parties.write("both.toml", format!("source = \"peer\"\n{text}").as_bytes());
    parties.sotto(&["serve", "--config", &parties.text("both.toml")]).failed(2, &["[dealer]"]);
    let without = text.split("[dealer]").next().unwrap().to_owned()
        + &Parties::peer("[[clients]]", "client", None);
    parties.write("none.toml", without.as_bytes());
    parties
        .sotto(&["serve", "--config", &parties.text("none.toml")])
        .failed(2, &["[dealer]", "source = \"peer\""]);
    // What needs a dealer.
    for line in ["audit = 0.5\n", "row_tables = true\n"] {
        let config = parties.server_config(&format!("source = \"peer\"\n{line}"), LOCAL, None);
        let name = line.split(' ').next().unwrap();
        parties.sotto(&["serve", "--config", &config]).failed(2, &[name, "needs a dealer"]);
    }
}

/// Greets a server without a dealer, on a link for making where there is a nonce.
fn greet(link: &mut QuicLink, making: Option<Nonce>) -> ServerWelcome {
    let hello = ClientHello { making, ..ClientHello::new(Source::Peer) };
    messages::send(link, step::HELLO, &hello).unwrap();
    messages::recv(link, step::WELCOME).unwrap()
}

#[test]
fn garbage_over_a_link_for_making_ends_that_link_alone() {
    let parties = Parties::new();
    let (server_process, server) = parties.peer_server("", None);
    let hostile = endpoint(&parties, "client");
    // No setup: of another length, and of the right one with points that are none.
    for message in [vec![1; 9], vec![0xff; Setup::BYTES[0]], Vec::new()] {
        let mut link = connect(&hostile, "server", server);
        assert!(matches!(greet(&mut link, Some([1; 32])), ServerWelcome::Making(_)));
        link.send(step::TRANSFERS, message).unwrap();
        while link.recv_upto(step::TRANSFERS, 1 << 22).is_ok() {}
    }
    // An honest setup, then garbage in the first level, or another request than one for a batch.
    let mut first = connect(&hostile, "server", server);
    let ServerWelcome::Card { card, model, .. } = greet(&mut first, None) else {
        panic!("the server must take an honest greeting")
    };
    let plan = card.trace(None).unwrap().plan;
    let recipe = Arc::new(whole_recipe(&plan).unwrap());
    let open = || {
        let mut link = connect(&hostile, "server", server);
        let ServerWelcome::Making(theirs) = greet(&mut link, Some([2; 32])) else {
            panic!("the server must take an honest greeting")
        };
        let recipe = Arc::clone(&recipe);
        let session = session([[2; 32], theirs], &plan.hash(), &model);
        let within = (Duration::from_secs(60), &(|_, _| Ok(())) as _);
        let made = Workshop::open(Role::Client, recipe, &mut link, session, None, within);
        (link, made.unwrap())
    };
    let number = |link: &mut QuicLink| {
        messages::send(link, step::REQUEST, &Request::Make { keep: None }).unwrap();
        match messages::recv(link, step::REPLY).unwrap() {
            Reply::Making { id, pad: None } => id,
            _ => panic!("there is a place"),
        }
    };
    let right = recipe.message_bytes(COTS, 0, Role::Client);
    for message in [vec![0xff; right], vec![0; right + 1], vec![0; 3]] {
        let (mut link, _) = open();
        number(&mut link);
        link.send(0, message).unwrap();
        while link.recv_upto(0, 1 << 24).is_ok() {}
    }
    // What one client has made is nobody else's.
    let (mut link, mut workshop) = open();
    let id = number(&mut link);
    workshop.make(&mut link, id, Duration::from_secs(60), &|| ()).unwrap();
    let second = endpoint(&parties, "second");
    let mut theirs = connect(&second, "server", server);
    greet(&mut theirs, None);
    let ask = Request::Prepare { held: Some(id), ahead: 0 };
    messages::send(&mut theirs, step::REQUEST, &ask).unwrap();
    let Reply::Refused(why) = messages::recv(&mut theirs, step::REPLY).unwrap() else {
        panic!("it is another client's")
    };
    assert_eq!(why, Refusal::Burnt(id));
    // It is used once, and goes with its link.
    let mut ask_again = || {
        messages::send(&mut first, step::REQUEST, &ask).unwrap();
        messages::recv(&mut first, step::REPLY).unwrap()
    };
    let Reply::Ready { tag, .. } = ask_again() else { panic!("it was made") };
    assert_eq!(tag, workshop.tag(id));
    drop(link);
    wait_until(
        "the end of what the link made",
        || matches!(ask_again(), Reply::Refused(Refusal::Burnt(burnt)) if burnt == id),
    );
    messages::send(&mut first, step::REQUEST, &Request::Infer { id, tag }).unwrap();
    is_dropped(&mut first);
    parties.works(&parties.peer_client("second", "", server));
    assert!(!server_process.log.text().contains("panicked"));
}
