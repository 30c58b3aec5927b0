//! A peer with a pinned certificate that does not keep to the protocol.

use std::{net::SocketAddr, time::Duration};

use sotto::{
    card::Card,
    config::Source,
    messages::{
        self, Ask, ClientHello, DealerHello, DealerWelcome, Dealt, Reply, Request, Secret,
        ServerWelcome, VERSION, step,
    },
    refusal::Refusal,
};
use sotto_models::private::Options;
use sotto_net::{Certificate, Endpoint, Identity, Link, Profile, QuicLink};

use crate::parties::{LOCAL, Parties};

const WAIT: Duration = Duration::from_secs(10);

/// An endpoint that shows the key of `name`.
pub fn endpoint(parties: &Parties, name: &str) -> Endpoint {
    let identity = Identity::load(&parties.path(""), name).unwrap();
    let others = ["server", "dealer"].into_iter().filter(|peer| *peer != name);
    let pinned: Vec<_> = others
        .map(|peer| {
            let file = parties.path(&format!("{peer}.cert"));
            (peer.to_owned(), Certificate::load(&file).unwrap())
        })
        .collect();
    Endpoint::bind(LOCAL, &identity, &pinned, &[], Profile::loopback()).unwrap()
}

pub fn connect(endpoint: &Endpoint, name: &str, at: SocketAddr) -> QuicLink {
    let mut link = endpoint.connect(at, name, WAIT).unwrap();
    link.set_deadline(WAIT);
    link
}

/// Greets the server and takes the masked weights.
pub fn greet(link: &mut QuicLink) {
    let hello = ClientHello::new(Source::Dealer);
    messages::send(link, step::HELLO, &hello).unwrap();
    let ServerWelcome::Card { setup, .. } = messages::welcome(link, drop).unwrap() else {
        panic!("the server must take an honest greeting")
    };
    messages::recv_bytes(link, step::SETUP, setup as usize, &|_, _| Ok(())).unwrap();
}

/// Gets a batch ready; gives its number and tag.
pub fn prepared(link: &mut QuicLink) -> (u64, [u8; 16]) {
    messages::send(link, step::REQUEST, &Request::Prepare { held: None, ahead: 0 }).unwrap();
    loop {
        match messages::recv(link, step::REPLY).unwrap() {
            Reply::Assigned(_) | Reply::Waiting { .. } | Reply::Paced { .. } => {}
            Reply::Ready { id, tag, .. } => return (id, tag),
            Reply::Refused(why) => panic!("a batch is there: {why}"),
            Reply::Making { .. }
            | Reply::Waking { .. }
            | Reply::Woken { .. }
            | Reply::Length { .. } => {
                panic!("there is a dealer")
            }
        }
    }
}

/// The peer must break this link off.
pub fn is_dropped(link: &mut QuicLink) {
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
    let (id, tag) = prepared(&mut link);
    messages::send(&mut link, step::REQUEST, &Request::Infer { id, tag }).unwrap();
    link.send(0, vec![0; 17]).unwrap();
    while link.recv_upto(0, 1 << 20).is_ok() {}
    parties.works(&config);

    // A number that is nobody's, or another connection's.
    let mut other = connect(&hostile, "server", server);
    greet(&mut other);
    let (theirs, tag) = prepared(&mut other);
    for id in [u64::MAX, theirs] {
        let mut link = connect(&hostile, "server", server);
        greet(&mut link);
        prepared(&mut link);
        messages::send(&mut link, step::REQUEST, &Request::Infer { id, tag }).unwrap();
        is_dropped(&mut link);
    }
    // Another deal than the server's.
    let mut link = connect(&hostile, "server", server);
    greet(&mut link);
    let (id, mut tag) = prepared(&mut link);
    tag[3] ^= 1;
    messages::send(&mut link, step::REQUEST, &Request::Infer { id, tag }).unwrap();
    is_dropped(&mut link);
    server_process.log.wait_for("another deal", 1);
    drop(other);
    drop(link);
    parties.works(&config);
    parties.works(&parties.client_config("client", "", [server, dealer]));
    server_process.log.wait_for("garbage", 1);
}

fn refusal(welcome: DealerWelcome) -> Refusal {
    match welcome {
        DealerWelcome::Refused(why) => why,
        _ => panic!("the dealer must refuse"),
    }
}

#[test]
fn the_dealer_gives_nothing_to_those_whom_it_does_not_concern() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("pool = 0\n", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    parties.works(&config);
    let [client, owner] = ["client", "server"].map(|name| endpoint(&parties, name));
    let greet_dealer = |endpoint: &Endpoint, hello: &DealerHello| -> (QuicLink, DealerWelcome) {
        let mut link = connect(endpoint, "dealer", dealer);
        messages::send(&mut link, step::HELLO, hello).unwrap();
        let answer = messages::recv(&mut link, step::WELCOME).unwrap();
        (link, answer)
    };
    let ask = |endpoint: &Endpoint, hello: &DealerHello| refusal(greet_dealer(endpoint, hello).1);
    let card = |arch: &str, batch: usize| Card {
        arch: arch.into(),
        calibration: std::fs::read_to_string(parties.path("model/calibration.toml")).unwrap(),
        batch,
        options: Options::default(),
        framing: None,
        lexicon: None,
    };
    let arch = std::fs::read_to_string(parties.path("model/arch.toml")).unwrap();
    let announce = |card: Card, version: u32, plan: [u8; 32]| DealerHello::Server {
        version,
        card,
        length: None,
        plan,
        commitment: [1; 32],
    };
    let batches = |server: Option<&str>, plan: [u8; 32], version: u32, epoch: [u8; 16]| {
        let server = server.map(str::to_owned);
        DealerHello::Batches { version, server, plan, epoch }
    };
    let why = ask(&client, &announce(card(&arch, 1), VERSION, [0; 32]));
    assert!(matches!(why, Refusal::NotYourRole(_)), "{why}");
    let why = ask(&owner, &announce(card(&arch, 1), VERSION + 1, [0; 32]));
    assert!(matches!(why, Refusal::Version { .. }), "{why}");
    let why = ask(&owner, &announce(card(&arch, 1), VERSION, [0; 32]));
    assert!(matches!(why, Refusal::OtherPlan { .. }), "another plan than its own: {why}");
    for (arch, batch) in [("dim = [", 1), ("", 1), (&arch[..], 0), (&arch[..], 1 << 40)] {
        let why = ask(&owner, &announce(card(arch, batch), VERSION, [0; 32]));
        assert!(matches!(why, Refusal::Card(_)), "{why}");
    }
    let none = [0; 16];
    let why = ask(&client, &batches(Some("server"), [1; 32], VERSION, none));
    assert!(matches!(why, Refusal::NotAnnounced { .. }), "{why}");
    let why = ask(&client, &batches(Some("stranger"), [1; 32], VERSION, none));
    assert!(matches!(why, Refusal::Unknown(_)), "{why}");
    let why = ask(&client, &batches(None, [1; 32], VERSION, none));
    assert!(matches!(why, Refusal::NotYourRole(_)), "a client is no server: {why}");
    let why = ask(&owner, &batches(Some("server"), [1; 32], VERSION, none));
    assert!(matches!(why, Refusal::NotYourRole(_)), "a server is no client: {why}");
    let why = ask(&client, &batches(Some("server"), [1; 32], VERSION + 1, none));
    assert!(matches!(why, Refusal::Version { .. }), "{why}");
    let plan = card(&arch, 1).trace(None).unwrap().plan.hash();
    let why = ask(&client, &batches(Some("server"), plan, VERSION, [9; 16]));
    assert_eq!(why, Refusal::Stale, "an epoch that is over");

    // With the keys of both: each part is given once, and the client's to whoever has the ticket.
    let (_, welcome) = greet_dealer(&owner, &announce(card(&arch, 1), VERSION, plan));
    let DealerWelcome::Setup { epoch, .. } = welcome else { panic!("an honest announcement") };
    let (mut servers, _) = greet_dealer(&owner, &batches(None, plan, VERSION, epoch));
    let (mut clients, _) = greet_dealer(&client, &batches(Some("server"), plan, VERSION, epoch));
    let ask = |link: &mut QuicLink, ask: Ask| -> Dealt {
        messages::send(link, step::REQUEST, &ask).unwrap();
        messages::recv(link, step::REPLY).unwrap()
    };
    let pad = || Secret::random().unwrap();
    let new = |link: &mut QuicLink, seed: bool| match ask(link, Ask::New { pad: seed.then(pad) }) {
        Dealt::Batch { id, ticket, tag, seed, corrections, .. } => {
            messages::recv_bytes(link, step::CORRECTIONS, corrections as usize, &|_, _| Ok(()))
                .unwrap();
            (id, ticket, tag, seed)
        }
        _ => panic!("a server is given a batch"),
    };
    let burnt = |dealt: Dealt, of: u64| match dealt {
        Dealt::Refused(why) => assert_eq!(why, Refusal::Burnt(of)),
        _ => panic!("batch {of} is burnt"),
    };
    let (first, ticket, tag, seed) = new(&mut servers, true);
    assert!(seed.is_some());
    burnt(ask(&mut servers, Ask::Seed { id: first, pad: pad() }), first);
    let (second, other, _, seed) = new(&mut servers, false);
    assert!(second > first && seed.is_none() && other != ticket);
    assert!(matches!(ask(&mut servers, Ask::Seed { id: second, pad: pad() }), Dealt::Seed(_)));
    burnt(ask(&mut servers, Ask::Seed { id: second, pad: pad() }), second);
    burnt(ask(&mut servers, Ask::Seed { id: 1 << 40, pad: pad() }), 1 << 40);
    burnt(ask(&mut clients, Ask::Claim { id: first, ticket: other.clone(), pad: pad() }), first);
    burnt(ask(&mut clients, Ask::Claim { id: u64::MAX, ticket: other, pad: pad() }), u64::MAX);
    let claim = Ask::Claim { id: first, ticket: ticket.clone(), pad: pad() };
    match ask(&mut clients, claim) {
        Dealt::Batch { tag: theirs, corrections, .. } => {
            assert_eq!((theirs, corrections), (tag, 0), "corrections are the server's");
        }
        _ => panic!("the ticket is right"),
    }
    burnt(ask(&mut clients, Ask::Claim { id: first, ticket: ticket.clone(), pad: pad() }), first);
    // A server may not claim, and a client not open.
    for (link, question) in [
        (&mut servers, Ask::Claim { id: second, ticket, pad: pad() }),
        (&mut clients, Ask::New { pad: Some(pad()) }),
    ] {
        let answer = ask(link, question);
        assert!(matches!(answer, Dealt::Refused(Refusal::NotYourRole(_))));
    }
    drop((servers, clients));
}
