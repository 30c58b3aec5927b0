//! Peers that deviate where batches are stored on both disks, or woken: a clear error, and nothing is used twice or by somebody else.

use std::{sync::Arc, time::Duration};

use sotto::{
    config::Source,
    messages::{self, ClientHello, Keep, Nonce, Reply, Request, Secret, ServerWelcome, Tag, step},
    refusal::Refusal,
    workshop::{Workshop, session},
};
use sotto_crypto::Seed;
use sotto_models::length::Length;
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{
    Role,
    make::{Extension, whole_recipe},
};

use crate::{
    disks::{CLIENT, SERVER, fill, waiting},
    hostile::{connect, endpoint, is_dropped},
    parties::{LOCAL, Parties, wait_until},
    spawned::Process,
};

/// A client in the test's hands.
pub struct Hostile<'a> {
    pub endpoint: Endpoint,
    pub server: &'a Process,
    pub at: std::net::SocketAddr,
    /// Of a model of texts: for which length.
    pub length: Option<Length>,
}

/// A batch that waits at the server, as its client knows it.
pub struct Waiting {
    pub tag: Tag,
    /// What the server's part is sealed with.
    pub key: Secret,
}

/// How far a client goes where a batch is stored.
#[derive(Clone, Copy, PartialEq)]
pub enum Stores {
    All,
    /// It leaves with its key.
    Leaves,
    /// It sends something else than a key.
    Garbage,
    /// It says that its disk is full.
    Full,
}

fn secret(byte: u8) -> Secret {
    Secret(Seed::from_bytes([byte; 32]))
}

impl Hostile<'_> {
    fn greet(&self, making: Option<Nonce>) -> (QuicLink, ServerWelcome) {
        let mut link = connect(&self.endpoint, "server", self.at);
        let length = self.length;
        let hello = ClientHello { making, length, ..ClientHello::new(Source::Peer) };
        messages::send(&mut link, step::HELLO, &hello).unwrap();
        let welcome = messages::recv(&mut link, step::WELCOME).unwrap();
        (link, welcome)
    }

    /// A link for evaluating.
    pub fn link(&self) -> QuicLink {
        let (link, welcome) = self.greet(None);
        assert!(matches!(welcome, ServerWelcome::Card { keeps: 2, .. }));
        link
    }

    /// Makes a batch that is to wait, and stores it.
    pub fn makes(&self, how: Stores, key: u8) -> Waiting {
        self.makes_and(how, key, || ())
    }

    /// The same, with something that happens before it is stored.
    pub fn makes_and(&self, how: Stores, key: u8, before: impl FnOnce()) -> Waiting {
        let (_, ServerWelcome::Card { card, model, .. }) = self.greet(None) else {
            panic!("the server must take an honest greeting")
        };
        let plan = card.trace(self.length).unwrap().plan;
        let recipe = Arc::new(whole_recipe(&plan, Extension::Ferret).unwrap());
        let (mut link, welcome) = self.greet(Some([2; 32]));
        let ServerWelcome::Making(theirs) = welcome else { panic!("there is room for a link") };
        let session = session([[2; 32], theirs], &plan.hash(), &model, Extension::Ferret);
        let within = (Duration::from_secs(60), &(|_, _| Ok(())) as _);
        let opened = Workshop::open(Role::Client, recipe, &mut link, session, None, within);
        let mut workshop = opened.unwrap();
        let keep = Some(Keep { folder: [1; 16], pad: secret(7) });
        let ours = Request::Make { keep };
        messages::send(&mut link, step::REQUEST, &ours).unwrap();
        let reply = messages::recv(&mut link, step::REPLY).unwrap();
        let Reply::Making { id, pad: Some(pad) } = reply else { panic!("it keeps two") };
        workshop.make(&mut link, id, Duration::from_secs(60), &|| ()).unwrap();
        let (tag, key) = (workshop.tag(id), secret(key));
        before();
        if how == Stores::Garbage {
            link.send(step::KEEP, vec![1; 31]).unwrap();
            while link.recv_upto(step::KEEP, 64).is_ok() {}
            return Waiting { tag, key };
        }
        messages::send(&mut link, step::KEEP, &key.under(&pad)).unwrap();
        let _: Secret = messages::recv(&mut link, step::KEEP).unwrap();
        if how != Stores::Leaves {
            messages::send(&mut link, step::KEPT, &(how == Stores::All)).unwrap();
            assert!(messages::recv::<bool>(&mut link, step::KEPT).unwrap());
            messages::send(&mut link, step::REQUEST, &Request::Bye).unwrap();
        } else {
            assert!(messages::recv::<bool>(&mut link, step::KEPT).unwrap());
        }
        Waiting { tag, key }
    }
}

fn ask(link: &mut QuicLink, request: &Request) -> Reply {
    messages::send(link, step::REQUEST, request).unwrap();
    messages::recv(link, step::REPLY).unwrap()
}

pub fn wake(link: &mut QuicLink, tag: Tag) -> Result<u64, Refusal> {
    match ask(link, &Request::Wake { tag }) {
        Reply::Waking { id } => Ok(id),
        Reply::Refused(why) => Err(why),
        _ => panic!("another answer"),
    }
}

pub fn open(link: &mut QuicLink, key: &Secret) -> Result<Secret, Refusal> {
    match ask(link, &Request::Open { key: key.clone() }) {
        Reply::Woken { key } => Ok(key),
        Reply::Refused(why) => Err(why),
        _ => panic!("another answer"),
    }
}

#[test]
fn a_client_that_deviates_where_batches_wait_has_its_own_once() {
    let parties = Parties::new();
    let (process, at) = parties.peer_server(SERVER, None);
    let [client, second] = ["client", "second"].map(|name| Hostile {
        endpoint: endpoint(&parties, name),
        server: &process,
        at,
        length: None,
    });
    let first = client.makes(Stores::All, 1);
    let other = client.makes(Stores::All, 2);
    wait_until("two that wait", || waiting(&parties, "server").len() == 2);
    let gone = Err(Refusal::NotKept);

    // Somebody else's, of no name, and opened without being found.
    let mut theirs = second.link();
    assert_eq!(wake(&mut theirs, first.tag), gone);
    assert_eq!(wake(&mut theirs, [0; 16]), gone);
    assert_eq!(open(&mut theirs, &first.key).err(), gone.clone().err());

    // It is found again and again, also after a link that ended, and opened once; what was found before is not opened by the key of
    // another.
    let mut link = client.link();
    wake(&mut link, first.tag).unwrap();
    drop(link);
    let mut link = client.link();
    wake(&mut link, other.tag).unwrap();
    let id = wake(&mut link, first.tag).unwrap();
    assert!(open(&mut link, &first.key).is_ok());
    assert_eq!(open(&mut link, &first.key).err(), gone.clone().err());
    assert_eq!(wake(&mut link, first.tag), gone);
    // A key that is none burns it.
    let none = wake(&mut link, other.tag).unwrap();
    assert!(open(&mut link, &first.key).is_ok());
    process.log.wait_for("its key is another", 1);
    let burnt = ask(&mut link, &Request::Prepare { held: Some(none), ahead: 0 });
    assert!(matches!(burnt, Reply::Refused(Refusal::Burnt(burnt)) if burnt == none));
    assert_eq!(wake(&mut link, other.tag), gone);
    assert_eq!(waiting(&parties, "server"), [""; 0]);

    // The one that was opened is used once, under its own tag; and it is nobody else's.
    let prepare = Request::Prepare { held: Some(id), ahead: 0 };
    let refused = ask(&mut theirs, &prepare);
    assert!(matches!(refused, Reply::Refused(Refusal::Burnt(burnt)) if burnt == id));
    let Reply::Ready { tag, .. } = ask(&mut link, &prepare) else { panic!("it is here") };
    assert_eq!(tag, first.tag);
    let lie = Request::Infer { id, tag: other.tag };
    messages::send(&mut link, step::REQUEST, &lie).unwrap();
    is_dropped(&mut link);
    process.log.wait_for("another deal", 1);
    let config = parties.peer_client("second", &CLIENT.replace("client-", "second-"), at);
    fill(&parties, &config);
    parties.works(&config);
    assert!(!client.server.log.text().contains("panicked"));
}

#[test]
fn a_batch_that_is_found_and_not_opened_keeps_nobody_from_making() {
    let parties = Parties::new();
    // The fewest places, more or less.
    let (process, at) = parties.peer_server(&format!("{SERVER}memory = 4\n"), None);
    let endpoint = endpoint(&parties, "client");
    let client = Hostile { endpoint, server: &process, at, length: None };
    let batch = client.makes(Stores::All, 1);
    wait_until("one that waits", || waiting(&parties, "server").len() == 1);
    let mut links = [(); 4].map(|()| client.link());
    for link in &mut links {
        wake(link, batch.tag).unwrap();
    }
    parties.works(&parties.peer_client("second", "", at));
    // It is opened over the link that has found it last.
    let [first, .., last] = &mut links;
    assert_eq!(open(first, &batch.key).err(), Some(Refusal::NotKept));
    assert!(open(last, &batch.key).is_ok());
    drop(links);
    // Who finds one after the other and opens none is slowed down.
    let both = [2, 3].map(|key| client.makes(Stores::All, key).tag);
    wait_until("two that wait", || waiting(&parties, "server").len() == 2);
    let mut link = client.link();
    let refused = both.iter().cycle().take(20).find_map(|tag| wake(&mut link, *tag).err());
    assert!(matches!(refused, Some(Refusal::Rate(_))), "{refused:?}");
}

#[test]
fn a_client_that_deviates_while_a_batch_is_stored_leaves_at_most_one() {
    let parties = Parties::new();
    let (mut process, at) = parties.peer_server(SERVER, None);
    {
        let endpoint = endpoint(&parties, "client");
        let client = Hostile { endpoint, server: &process, at, length: None };
        client.makes(Stores::Full, 1);
        wait_until("the end of what is not stored", || waiting(&parties, "server").is_empty());
        client.makes(Stores::Garbage, 1);
        process.log.wait_for("a batch that waits on disks", 1);
        assert_eq!(waiting(&parties, "server"), [""; 0]);
        // Whoever leaves with a key may come again; a pool has its size all the same.
        for key in 0..3 {
            client.makes(Stores::Leaves, key);
        }
        assert_eq!(waiting(&parties, "server").len(), 2);
    }
    let config = parties.peer_client("client", CLIENT, at);
    fill(&parties, &config);
    assert_eq!(waiting(&parties, "server"), waiting(&parties, "client"));
    process.kill();
}

#[test]
fn a_server_that_deviates_where_batches_wait_is_left_with_an_error_and_no_second_key() {
    let parties = Parties::new();
    let (mut honest, at) = parties.peer_server(SERVER, None);
    let lines = CLIENT.replace("pool = 2", "pool = 1");
    let images = parties.text("images.bin");
    let rogue = || {
        let identity = sotto_net::Identity::load(&parties.path(""), "server").unwrap();
        let certificate = sotto_net::Certificate::load(&parties.path("client.cert")).unwrap();
        let client = [("client".to_owned(), certificate)];
        let profile = sotto_net::Profile::loopback();
        Endpoint::bind(LOCAL, &identity, &[], &client, profile).unwrap()
    };
    let card = {
        let endpoint = endpoint(&parties, "client");
        let hostile = Hostile { endpoint, server: &honest, at, length: None };
        let (_, welcome) = hostile.greet(None);
        welcome
    };
    let ServerWelcome::Card { name, card, plan, model, epoch, masks, .. } = card else {
        panic!("an honest greeting")
    };
    // What the server does instead of opening: nothing, a refusal, a key that is none, another answer, and never finding it.
    for how in 0..5 {
        let (mut process, _) = match how {
            0 => (None, at),
            _ => (Some(parties.peer_server(SERVER, Some(at)).0), at),
        };
        fill(&parties, &parties.peer_client("client", &lines, at));
        process.as_mut().unwrap_or(&mut honest).kill();
        let names = waiting(&parties, "client");
        assert_eq!(names.len(), 1);
        let rogue = rogue();
        let told = parties.peer_client("client", &lines, rogue.local_addr());
        let client = parties.start_infer(&told, &["--json", "--limit", "1", &images]);
        let mut keys = 0;
        let mut link = rogue.accept(Duration::from_secs(20)).unwrap();
        link.set_deadline(Duration::from_secs(20));
        let hello: ClientHello = messages::recv(&mut link, step::HELLO).unwrap();
        let (name, card, waits) = (name.clone(), card.clone(), hello.waits.unwrap().tags);
        assert_eq!(waits.len(), 1);
        let welcome = ServerWelcome::Card {
            name,
            card,
            plan,
            model,
            epoch,
            masks,
            setup: 0,
            keeps: 1,
            waits,
        };
        messages::send(&mut link, step::WELCOME, &welcome).unwrap();
        loop {
            match messages::recv(&mut link, step::REQUEST) {
                Ok(Request::Wake { .. }) if how == 4 => {
                    let no = Reply::Refused(Refusal::NotKept);
                    messages::send(&mut link, step::REPLY, &no).unwrap();
                }
                Ok(Request::Wake { .. }) => {
                    messages::send(&mut link, step::REPLY, &Reply::Waking { id: 5 }).unwrap();
                }
                Ok(Request::Open { .. }) => {
                    keys += 1;
                    let reply = match how {
                        1 => Reply::Refused(Refusal::NotKept),
                        2 => Reply::Woken { key: secret(1) },
                        3 => Reply::Waking { id: 6 },
                        _ => break,
                    };
                    messages::send(&mut link, step::REPLY, &reply).unwrap();
                }
                _ => break,
            }
        }
        drop((link, rogue));
        let done = client.finish();
        assert!(matches!(done.code, 4 | 5), "{how}: {} {}", done.code, done.err);
        assert!(done.took.as_secs() <= 3 * parties.deadline, "{:?}", done.took);
        assert_eq!(keys, usize::from(how != 4), "{how}");
        assert_eq!(waiting(&parties, "client"), [""; 0], "{how}: it is burnt");
    }
}
