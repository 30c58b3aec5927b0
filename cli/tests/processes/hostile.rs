//! A peer with a pinned certificate that does not keep to the protocol.

use std::{net::SocketAddr, time::Duration};

use sotto::{
    card::Card,
    messages::{
        self, ClientHello, DealerHello, DealerWelcome, Dealt, Next, Reply, Request, ServerWelcome,
        VERSION, step,
    },
};
use sotto_net::{Certificate, Endpoint, Identity, Link, Profile, QuicLink};

use crate::parties::{LOCAL, Parties};

const WAIT: Duration = Duration::from_secs(10);

/// An endpoint that shows the key of `name`.
fn endpoint(parties: &Parties, name: &str) -> Endpoint {
    let identity = Identity::load(&parties.path(""), name).unwrap();
    let others = ["server", "dealer"].into_iter().filter(|peer| *peer != name);
    let pinned = others.map(|peer| {
        let file = parties.path(&format!("{peer}.cert"));
        (peer.to_owned(), Certificate::load(&file).unwrap())
    });
    let pinned: Vec<_> = pinned.collect();
    Endpoint::bind(LOCAL, &identity, &pinned, &[], Profile::loopback()).unwrap()
}

fn connect(endpoint: &Endpoint, name: &str, at: SocketAddr) -> QuicLink {
    let mut link = endpoint.connect(at, name, WAIT).unwrap();
    link.set_deadline(WAIT);
    link
}

/// Greets the server and takes the masked weights.
fn greet(link: &mut QuicLink) {
    let hello = ClientHello { version: VERSION, model: None };
    messages::send(link, step::HELLO, &hello).unwrap();
    let ServerWelcome::Card { setup, .. } = messages::recv(link, step::WELCOME).unwrap() else {
        panic!("the server must take an honest greeting")
    };
    messages::recv_bytes(link, step::SETUP, setup as usize, &|_, _| ()).unwrap();
}

/// The peer must break this link off.
fn is_dropped(link: &mut QuicLink) {
    let ended = link.recv_upto(step::REPLY, 1 << 20).unwrap_err();
    let dropped = matches!(ended, sotto_net::Error::Link { .. });
    assert!(dropped, "{ended}");
}

#[test]
fn garbage_from_a_pinned_client_ends_its_link_alone() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("", dealer, None);
    let config = parties.client_config("second", "", [server, dealer]);
    let hostile = endpoint(&parties, "client");
    let greetings: [(u32, Vec<u8>); 5] = [
        (step::HELLO, vec![]),
        (step::HELLO, vec![0xff; 4000]),
        (step::HELLO, [&VERSION.to_le_bytes()[..], &[1], &u64::MAX.to_le_bytes()].concat()),
        (step::HELLO, vec![0; 5 << 20]),
        (7, vec![1, 2, 3]),
    ];
    for (name, at) in [("server", server), ("dealer", dealer)] {
        for (step, bytes) in &greetings {
            let mut link = connect(&hostile, name, at);
            link.send(*step, bytes.clone()).unwrap();
            is_dropped(&mut link);
        }
    }
    parties.works(&config);

    // After an honest greeting: garbage as a request, a batch that nobody prepared, a wrong first payload.
    let mut link = connect(&hostile, "server", server);
    greet(&mut link);
    link.send(step::REQUEST, vec![9; 12]).unwrap();
    is_dropped(&mut link);
    let mut link = connect(&hostile, "server", server);
    greet(&mut link);
    messages::send(&mut link, step::REQUEST, &Request::Prepare { from: 0 }).unwrap();
    let Reply::Prepared { id, .. } = messages::recv(&mut link, step::REPLY).unwrap() else {
        panic!("a batch is there")
    };
    messages::send(&mut link, step::REQUEST, &Request::Infer { id }).unwrap();
    link.send(0, vec![0; 17]).unwrap();
    while link.recv_upto(0, 1 << 20).is_ok() {}
    parties.works(&config);

    // Numbers out of all bounds: no batch comes of it, and the next honest request is served.
    let mut link = connect(&hostile, "server", server);
    greet(&mut link);
    messages::send(&mut link, step::REQUEST, &Request::Prepare { from: u64::MAX }).unwrap();
    let reply = messages::recv(&mut link, step::REPLY).unwrap();
    assert!(matches!(reply, Reply::Refused(why) if why.contains("too far")));
    messages::send(&mut link, step::REQUEST, &Request::Prepare { from: 0 }).unwrap();
    let reply = messages::recv(&mut link, step::REPLY).unwrap();
    assert!(matches!(reply, Reply::Prepared { .. }));
    messages::send(&mut link, step::REQUEST, &Request::Infer { id: u64::MAX }).unwrap();
    is_dropped(&mut link);
    drop(link);
    parties.works(&config);
    parties.works(&parties.client_config("client", "", [server, dealer]));
    assert!(server_process.log.text().contains("garbage"), "the log says why");
}

fn refusal(welcome: DealerWelcome) -> String {
    match welcome {
        DealerWelcome::Refused(why) => why,
        _ => panic!("the dealer must refuse"),
    }
}

#[test]
fn the_dealer_gives_nothing_to_those_whom_it_does_not_concern() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    parties.works(&config);
    let [client, owner] = ["client", "server"].map(|name| endpoint(&parties, name));
    let ask = |endpoint: &Endpoint, hello: &DealerHello| -> DealerWelcome {
        let mut link = connect(endpoint, "dealer", dealer);
        messages::send(&mut link, step::HELLO, hello).unwrap();
        let answer = messages::recv(&mut link, step::WELCOME).unwrap();
        drop(link.finish());
        answer
    };
    let card = |arch: &str, batch: usize| Card {
        arch: arch.into(),
        calibration: std::fs::read_to_string(parties.path("model/calibration.toml")).unwrap(),
        batch,
        public_max: false,
        class_only: false,
        row_tables: false,
    };
    let arch = std::fs::read_to_string(parties.path("model/arch.toml")).unwrap();
    let announce = |card: Card, version: u32| DealerHello::Server { version, card, plan: [0; 32] };
    let batches = |peer: &str, plan: [u8; 32], version: u32| {
        let peer = peer.into();
        DealerHello::Batches { version, peer, plan }
    };
    let why = refusal(ask(&client, &announce(card(&arch, 1), VERSION)));
    assert!(why.contains("only a server"), "{why}");
    let why = refusal(ask(&owner, &announce(card(&arch, 1), VERSION + 1)));
    assert!(why.contains("version"), "{why}");
    let why = refusal(ask(&owner, &announce(card(&arch, 1), VERSION)));
    assert!(why.contains("run the same version"), "another plan than its own: {why}");
    for (arch, batch) in [("dim = [", 1), ("", 1), (&arch[..], 0), (&arch[..], 1 << 40)] {
        let why = refusal(ask(&owner, &announce(card(arch, batch), VERSION)));
        assert!(why.contains("not usable"), "{why}");
    }
    let why = refusal(ask(&client, &batches("server", [1; 32], VERSION)));
    assert!(why.contains("has not announced"), "{why}");
    let why = refusal(ask(&owner, &batches("stranger", [1; 32], VERSION)));
    assert!(why.contains("does not know"), "{why}");
    let why = refusal(ask(&client, &batches("server", [1; 32], VERSION + 1)));
    assert!(why.contains("version"), "{why}");

    // Both sides of a pair get each number once, whatever they ask for.
    let private = card(&arch, 1).trace().unwrap();
    let plan = private.plan.hash();
    let mut given = Vec::new();
    for from in [0, 0, 5, 2, u64::MAX, 0] {
        let mut link = connect(&client, "dealer", dealer);
        messages::send(&mut link, step::HELLO, &batches("server", plan, VERSION)).unwrap();
        let welcome = messages::recv(&mut link, step::WELCOME).unwrap();
        assert!(matches!(welcome, DealerWelcome::Ready { .. }));
        messages::send(&mut link, step::REQUEST, &Next { from }).unwrap();
        match messages::recv(&mut link, step::REPLY).unwrap() {
            Dealt::Batch { id, corrections, .. } => {
                assert_eq!(corrections, 0, "corrections are the server's");
                given.push(id);
            }
            Dealt::Refused(why) => assert!(from == u64::MAX && why.contains("too far"), "{why}"),
        }
    }
    assert_eq!(given.len(), 5);
    assert!(given.is_sorted_by(|a, b| a < b), "a number was given twice: {given:?}");
    parties.works(&config);
}
