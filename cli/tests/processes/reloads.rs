//! Clients, certificates and limits change while the parties run.

use std::fs;

use sotto::{
    messages::{self, Reply, Request, step},
    refusal::Refusal,
};
use sotto_net::Identity;

use crate::{
    hostile::{connect, endpoint, greet, prepared},
    parties::{Parties, program},
    spawned::Process,
};

/// Writes a configuration anew and has its process read it.
fn reload(parties: &Parties, file: &str, text: &str, process: &Process, said: &str) {
    parties.write(file, text.as_bytes());
    let before = process.log.text().matches(said).count();
    process.signal("USR1");
    process.log.wait_for(said, before + 1);
}

#[test]
fn clients_come_and_go_and_keys_change_while_a_link_stands() {
    let parties = Parties::new();
    let (dealer, dealer_at) = parties.dealer("", None);
    let (server, server_at) = parties.server("", dealer_at, None);
    let client = parties.client_config("client", "", [server_at, dealer_at]);
    let second = parties.client_config("second", "", [server_at, dealer_at]);
    let images = parties.text("images.bin");
    parties.works(&client);
    parties.works(&second);

    // One client stays linked all the time: with more pictures than it is given at once.
    let many = parties.many(60);
    let mut stream = program();
    stream.args(["infer", "--config", &client, "--json-lines", &many]);
    let mut stream = Process::start("client", &mut stream);
    for _ in 0..3 {
        stream.line();
    }

    // The second one goes.
    let [dealer_toml, server_toml] =
        ["dealer.toml", "server.toml"].map(|file| fs::read_to_string(parties.path(file)).unwrap());
    let without = |text: &str| {
        let table = Parties::peer("[[clients]]", "second", None);
        assert!(text.contains(&table));
        text.replace(&table, "")
    };
    reload(
        &parties,
        "server.toml",
        &without(&server_toml),
        &server,
        "nobody is new, second is gone",
    );
    parties.infer(&second, &["--limit", "1", &images]).failed(4, &["refused our certificate"]);

    // It comes again with another key, while the old one is still good.
    let renewed = Identity::generate("second").unwrap();
    fs::create_dir(parties.path("new")).unwrap();
    renewed.save(&parties.path("new")).unwrap();
    let both = |text: &str| {
        text.replace(
            "certificate = \"second.cert\"",
            "certificate = [\"second.cert\", \"new/second.cert\"]",
        )
    };
    reload(&parties, "dealer.toml", &both(&dealer_toml), &dealer, "nobody is new");
    reload(&parties, "server.toml", &both(&server_toml), &server, "second is new, nobody is gone");
    parties.works(&second);
    let text = fs::read_to_string(parties.path("second.toml")).unwrap();
    parties.write("renewed.toml", text.replace("keys = \".\"", "keys = \"new\"").as_bytes());
    parties.works(&parties.text("renewed.toml"));

    // The old key is bad from now on.
    let new = |text: &str| {
        text.replace("certificate = \"second.cert\"", "certificate = \"new/second.cert\"")
    };
    reload(&parties, "dealer.toml", &new(&dealer_toml), &dealer, "nobody is new, nobody is gone");
    reload(&parties, "server.toml", &new(&server_toml), &server, "nobody is new, nobody is gone");
    parties.infer(&second, &["--limit", "1", &images]).failed(4, &["refused our certificate"]);
    parties.works(&parties.text("renewed.toml"));

    // The other client has noticed nothing.
    let done = stream.finish();
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(!done.err.contains("again"), "{}", done.err);
}

#[test]
fn limits_change_and_what_was_used_stays() {
    let parties = Parties::new();
    let (_dealer, dealer_at) = parties.dealer("", None);
    let (server, server_at) = parties.server("usage_file = \"usage.json\"\n", dealer_at, None);
    let client = parties.client_config("client", "", [server_at, dealer_at]);
    parties.works(&client);
    parties.works(&client);
    let text = fs::read_to_string(parties.path("server.toml")).unwrap();
    let limited = |quota: u32| {
        text.replace(
            "certificate = \"client.cert\"\n",
            &format!("certificate = \"client.cert\"\nquota = {quota}\n"),
        )
    };
    reload(&parties, "server.toml", &limited(2), &server, "nobody is new");
    let images = parties.text("images.bin");
    parties.infer(&client, &["--limit", "1", &images]).failed(4, &["2 of 2"]);
    reload(&parties, "server.toml", &limited(3), &server, "nobody is new");
    parties.works(&client);
    parties.infer(&client, &["--limit", "1", &images]).failed(4, &["3 of 3"]);
    // To be taken off the list and put on it again is no new quota.
    let table = Parties::peer("[[clients]]", "client", None) + "quota = 3\n";
    let gone = limited(3).replace(&table, "");
    assert!(!gone.contains("client.cert"), "{gone}");
    reload(&parties, "server.toml", &gone, &server, "client is gone");
    reload(&parties, "server.toml", &limited(3), &server, "client is new");
    parties.infer(&client, &["--limit", "1", &images]).failed(4, &["3 of 3"]);
    // What waits for a restart is named; what is wrong changes nothing.
    reload(
        &parties,
        "server.toml",
        &format!("audit = 0.5\n{}", limited(4)),
        &server,
        "waits for a restart",
    );
    parties.works(&client);
    for (wrong, why) in
        [("x", "the configuration stays"), ("[[clients]]\n", "the configuration stays")]
    {
        reload(&parties, "server.toml", wrong, &server, why);
    }
    let rate = limited(9).replace("quota = 9\n", "rate = 0\n");
    reload(&parties, "server.toml", &rate, &server, "the configuration stays");
    parties.infer(&client, &["--limit", "1", &images]).failed(4, &["4 of 4"]);
}

#[test]
fn who_is_added_has_a_share_of_the_memory_from_then_on() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    // Places for two batches.
    let config = parties.server_config("memory = 1\npool = 0\n", dealer, None);
    let both = fs::read_to_string(&config).unwrap();
    let alone = both.replace(&Parties::peer("[[clients]]", "second", None), "");
    parties.write("server.toml", alone.as_bytes());
    let (process, server) = parties.start_server(&config);
    let greedy = endpoint(&parties, "client");
    let link = || {
        let mut link = connect(&greedy, "server", server);
        greet(&mut link);
        link
    };
    let holds = || {
        let mut link = link();
        prepared(&mut link);
        link
    };
    drop([holds(), holds()]);
    reload(&parties, "server.toml", &both, &process, "second is new");
    let (_first, mut other) = (holds(), link());
    messages::send(&mut other, step::REQUEST, &Request::Prepare { held: None, ahead: 0 }).unwrap();
    let answer = loop {
        match messages::recv(&mut other, step::REPLY).unwrap() {
            Reply::Waiting { .. } => {}
            answer => break answer,
        }
    };
    assert!(matches!(answer, Reply::Refused(Refusal::Busy(_))), "one of two is for the second");
    parties.works(&parties.client_config("second", "", [server, dealer]));
}
