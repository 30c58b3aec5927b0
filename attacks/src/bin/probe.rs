//! A client in the attacker's hands, for attacks by hand: `probe KEYS NAME ADDRESS VERB ..`, with `NAME.key`, `NAME.cert` and `server.cert` in
//! `KEYS`. Against a server without a dealer, unless `SOURCE=dealer`.
//!
//! `hold LINKS SECONDS [LENGTH ..]`: links for making that are greeted and then silent, again and again.
//! `setup LINKS SECONDS [LENGTH]`: links for making that are set up and then do nothing.
//! `make LINKS SECONDS [LENGTH]`: links over which batches are made and never used.
//! `slow LINKS SECONDS BREATH [LENGTH ..]`: links for making that are set up with such a breath before each message, again and again.
//! `wake LINKS SECONDS LENGTH [1]`: batches of the folder `TAGS` are found on the server's disk and not opened; with a 1, one after the other.
//! `ask THREADS SECONDS LENGTH ..`: greetings for texts of these lengths, one after the other.
//! `drip LINKS SECONDS BYTES [LENGTH ..]`: greetings (with a dealer: for masked weights) that are read at so many bytes a second.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use sotto::{
    Error,
    config::Source,
    messages::{self, ClientHello, Reply, Request, ServerWelcome, step},
    workshop::{Workshop, nonce, session},
};
use sotto_models::length::Length;
use sotto_net::{Certificate, Endpoint, Identity, Link, Profile, QuicLink};
use sotto_protocols::{
    Role,
    make::{Extension, Recipe, whole_recipe},
};

const WAIT: Duration = Duration::from_secs(20);

struct Attacker {
    endpoint: Endpoint,
    server: SocketAddr,
    source: Source,
}

/// What the server says of its model.
struct Met {
    recipe: Arc<Recipe>,
    plan: [u8; 32],
    model: [u8; 32],
}

impl Attacker {
    fn dial(&self) -> Result<QuicLink, Error> {
        let mut link = self.endpoint.connect(self.server, "server", WAIT)?;
        link.set_deadline(WAIT);
        Ok(link)
    }

    fn greet(
        &self,
        length: Option<Length>,
        making: bool,
    ) -> Result<(QuicLink, ServerWelcome, [u8; 32]), Error> {
        let mut link = self.dial()?;
        let ours = nonce()?;
        let making = making.then_some(ours);
        let hello = ClientHello { length, making, ..ClientHello::new(self.source) };
        messages::send(&mut link, step::HELLO, &hello)?;
        let welcome = messages::recv(&mut link, step::WELCOME)?;
        Ok((link, welcome, ours))
    }

    fn meet(&self, length: Option<Length>) -> Result<Met, Error> {
        match self.greet(length, false)?.1 {
            ServerWelcome::Card { card, plan, model, .. } => {
                let traced = card.trace(length)?;
                let recipe = Arc::new(whole_recipe(&traced.plan, Extension::Ferret)?);
                Ok(Met { recipe, plan, model })
            }
            ServerWelcome::Refused(why) => Err(Error::Config(why.to_string())),
            ServerWelcome::Making(_) | ServerWelcome::Waiting { .. } => {
                Err(Error::Config("no card".into()))
            }
        }
    }

    /// A link for making that is set up.
    fn open(
        &self,
        met: &Met,
        length: Option<Length>,
        breath: Duration,
    ) -> Result<(QuicLink, Workshop), Error> {
        let (mut link, welcome, ours) = self.greet(length, true)?;
        let theirs = match welcome {
            ServerWelcome::Making(theirs) => theirs,
            ServerWelcome::Refused(why) => return Err(Error::Config(why.to_string())),
            ServerWelcome::Card { .. } | ServerWelcome::Waiting { .. } => {
                return Err(Error::Config("no link for making".into()));
            }
        };
        link.set_deadline(Duration::from_secs(120));
        let name = session([ours, theirs], &met.plan, &met.model, met.recipe.extension);
        let within = (Duration::from_secs(600), &|_, _| Ok(()) as _);
        let within: (Duration, &messages::Progress<'_>) = (within.0, within.1);
        let mut slow = Slow(&mut link, breath);
        let shop =
            Workshop::open(Role::Client, Arc::clone(&met.recipe), &mut slow, name, None, within)?;
        Ok((link, shop))
    }
}

/// A link over which nothing is sent before it is due.
struct Slow<'a>(&'a mut QuicLink, Duration);

impl Link for Slow<'_> {
    fn send(&mut self, step: u32, payload: Vec<u8>) -> Result<(), sotto_net::Error> {
        thread::sleep(self.1);
        self.0.send(step, payload)
    }

    fn room(&mut self, at_most: u64) -> Result<(), sotto_net::Error> {
        self.0.room(at_most)
    }

    fn recv(&mut self, step: u32, len: usize) -> Result<Vec<u8>, sotto_net::Error> {
        self.0.recv(step, len)
    }

    fn recv_upto(&mut self, step: u32, limit: usize) -> Result<Vec<u8>, sotto_net::Error> {
        self.0.recv_upto(step, limit)
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.0.set_deadline(deadline);
    }

    fn set_longest(&mut self, longest: Option<Duration>) {
        self.0.set_longest(longest);
    }

    fn traffic(&self) -> sotto_net::Traffic {
        self.0.traffic()
    }

    fn peer(&self) -> &str {
        self.0.peer()
    }

    fn finish(&mut self) -> Result<(), sotto_net::Error> {
        self.0.finish()
    }
}

type Said = Mutex<BTreeMap<String, (usize, Duration)>>;

fn note(said: &Said, what: String, took: Duration) {
    let mut said = said.lock().expect("nobody panics while it notes");
    let entry = said.entry(what).or_default();
    entry.0 += 1;
    entry.1 = entry.1.max(took);
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [keys, name, at, verb, rest @ ..] = &args[..] else { panic!("KEYS NAME ADDRESS VERB ..") };
    let keys = Path::new(keys);
    let identity = Identity::load(keys, name).expect("a key of ours");
    let pin = Certificate::load(&keys.join("server.cert")).expect("the server's certificate");
    let pins = [("server".to_owned(), pin)];
    let mut profile = Profile::loopback();
    if verb == "drip" {
        (profile.prefetch, profile.receive_window) = (1 << 20, 1 << 20);
    }
    let endpoint =
        Endpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0)), &identity, &pins, &[], profile)
            .expect("a free port");
    let source = match std::env::var("SOURCE").as_deref() {
        Ok("dealer") => Source::Dealer,
        _ => Source::Peer,
    };
    let attacker = Attacker { endpoint, server: at.parse().expect("an address"), source };
    let numbers: Vec<u64> = rest.iter().map(|n| n.parse().expect("a number")).collect();
    let (links, life) = (numbers[0] as usize, Duration::from_secs(numbers[1]));
    let length = |n: u64| (n > 0).then_some(Length::Public(n as _));
    let start = Instant::now();
    let left = || life.saturating_sub(start.elapsed());
    let said = Said::default();
    thread::scope(|scope| {
        for i in 0..links {
            let (attacker, said, numbers, left) = (&attacker, &said, &numbers, &left);
            let of = move |from: usize| {
                let all = &numbers[from..];
                all.get(i % all.len().max(1)).copied().and_then(length)
            };
            scope.spawn(move || match verb.as_str() {
                "hold" => {
                    while !left().is_zero() {
                        let begun = Instant::now();
                        match attacker.greet(of(2), true) {
                            Ok((mut link, ServerWelcome::Making(_), _)) => {
                                link.set_deadline(left().max(Duration::from_millis(1)));
                                // The server's first message of the setup, which is not answered.
                                drop(link.recv_upto(step::TRANSFERS, 1 << 20));
                                let end = link.recv_upto(step::TRANSFERS, 1 << 20);
                                let why = end.err().map(|e| e.to_string()).unwrap_or_default();
                                println!(
                                    "{:6.1} s: link {i} held for {:.1?}: {}",
                                    start.elapsed().as_secs_f64(),
                                    begun.elapsed(),
                                    why
                                );
                                note(said, "held".into(), begun.elapsed());
                            }
                            Ok((_, ServerWelcome::Refused(why), _)) => {
                                note(said, format!("refused: {why}"), begun.elapsed());
                                thread::sleep(Duration::from_millis(20));
                            }
                            Ok(_) => note(said, "card".into(), begun.elapsed()),
                            Err(e) => {
                                note(said, format!("error: {e}"), begun.elapsed());
                                thread::sleep(Duration::from_millis(50));
                            }
                        }
                    }
                }
                "setup" | "make" => {
                    let length = of(2);
                    let met = match attacker.meet(length) {
                        Ok(met) => met,
                        Err(e) => return note(said, format!("meet: {e}"), Duration::ZERO),
                    };
                    let begun = Instant::now();
                    let (mut link, mut shop) = match attacker.open(&met, length, Duration::ZERO) {
                        Ok(open) => open,
                        Err(e) => return note(said, format!("open: {e}"), begun.elapsed()),
                    };
                    note(said, "set up".into(), begun.elapsed());
                    println!("{:6.1} s: link {i} is set up", start.elapsed().as_secs_f64());
                    if verb == "setup" {
                        thread::sleep(left());
                        return;
                    }
                    while !left().is_zero() {
                        let begun = Instant::now();
                        if messages::send(&mut link, step::REQUEST, &Request::Make { keep: None })
                            .is_err()
                        {
                            return;
                        }
                        match messages::recv(&mut link, step::REPLY) {
                            Ok(Reply::Making { id, .. }) => {
                                match shop.make(&mut link, id, Duration::from_secs(600), &|| ()) {
                                    Ok(_) => note(said, "made".into(), begun.elapsed()),
                                    Err(e) => {
                                        return note(said, format!("make: {e}"), begun.elapsed());
                                    }
                                }
                            }
                            Ok(Reply::Refused(why)) => {
                                note(said, format!("refused: {why}"), begun.elapsed());
                                thread::sleep(Duration::from_millis(100));
                            }
                            Ok(_) => return note(said, "another reply".into(), begun.elapsed()),
                            Err(e) => return note(said, format!("error: {e}"), begun.elapsed()),
                        }
                    }
                }
                "slow" => {
                    let length = of(3);
                    let met = attacker.meet(length);
                    while let (Ok(met), false) = (&met, left().is_zero()) {
                        let begun = Instant::now();
                        let breath = Duration::from_secs(numbers[2]);
                        match attacker.open(met, length, breath) {
                            Ok(_open) => {
                                note(said, "set up".into(), begun.elapsed());
                                // It is idle then, and is ended where others wait, after this.
                                thread::sleep(Duration::from_secs(85).min(left()));
                            }
                            Err(Error::Config(why)) => {
                                note(said, format!("refused: {why}"), begun.elapsed());
                                thread::sleep(Duration::from_millis(20));
                            }
                            Err(e) => note(said, format!("error: {e}"), begun.elapsed()),
                        }
                        if begun.elapsed() > Duration::from_secs(1) {
                            println!(
                                "{:6.1} s: link {i} held for {:.1?}",
                                start.elapsed().as_secs_f64(),
                                begun.elapsed()
                            );
                        }
                    }
                    if let Err(e) = met {
                        note(said, format!("meet: {e}"), Duration::ZERO);
                    }
                }
                "wake" => {
                    // Each link finds one after the other of those whose names lie in the folder TAGS, and opens none.
                    let folder = std::env::var("TAGS").expect("a folder in TAGS");
                    let names = std::fs::read_dir(folder)
                        .expect("a folder in TAGS")
                        .map(|e| e.expect("a file").file_name());
                    let names =
                        names.filter_map(|n| n.to_str()?.strip_suffix(".batch").map(str::to_owned));
                    let byte = |n: &str, i: usize| {
                        u8::from_str_radix(&n[2 * i..2 * i + 2], 16).expect("a tag")
                    };
                    let tags: Vec<[u8; 16]> =
                        names.map(|n| std::array::from_fn(|at| byte(&n, at))).collect();
                    let Ok((mut link, ServerWelcome::Card { .. }, _)) =
                        attacker.greet(of(2), false)
                    else {
                        return note(said, "no card".into(), Duration::ZERO);
                    };
                    let mut at = i;
                    while !left().is_zero() {
                        let tag = tags[at % tags.len()];
                        at += links * usize::from(numbers.len() > 3);
                        if messages::send(&mut link, step::REQUEST, &Request::Wake { tag }).is_err()
                        {
                            return note(said, "ended".into(), start.elapsed());
                        }
                        match messages::recv(&mut link, step::REPLY) {
                            Ok(Reply::Waking { .. }) => note(said, "found".into(), start.elapsed()),
                            Ok(Reply::Refused(why)) => {
                                note(said, format!("refused: {why}"), start.elapsed());
                            }
                            _ => return note(said, "ended".into(), start.elapsed()),
                        }
                        thread::sleep(Duration::from_millis(300));
                    }
                }
                "ask" => {
                    let mut at = i;
                    while !left().is_zero() {
                        let all = &numbers[2..];
                        let length = length(all[at % all.len()]);
                        at += 1;
                        let begun = Instant::now();
                        let what = match attacker.greet(length, false) {
                            Ok((_, ServerWelcome::Card { .. }, _)) => "card".to_owned(),
                            Ok((_, ServerWelcome::Refused(why), _)) => format!("refused: {why}"),
                            Ok(_) => "making".into(),
                            Err(e) => format!("error: {e}"),
                        };
                        note(said, what, begun.elapsed());
                    }
                }
                "drip" => {
                    let rate = numbers[2] as f64;
                    while !left().is_zero() {
                        let begun = Instant::now();
                        let (mut link, setup) = match attacker.greet(of(3), false) {
                            Ok((link, ServerWelcome::Card { setup, .. }, _)) => {
                                (link, setup as usize)
                            }
                            Ok((_, ServerWelcome::Refused(why), _)) => {
                                note(said, format!("refused: {why}"), begun.elapsed());
                                thread::sleep(Duration::from_millis(20));
                                continue;
                            }
                            Ok(_) => return,
                            Err(e) => {
                                note(said, format!("error: {e}"), begun.elapsed());
                                thread::sleep(Duration::from_millis(50));
                                continue;
                            }
                        };
                        let mut got = 0;
                        let end = loop {
                            if got >= setup || left().is_zero() {
                                break String::new();
                            }
                            let due = Duration::from_secs_f64(got as f64 / rate);
                            thread::sleep(due.saturating_sub(begun.elapsed()).min(left()));
                            let piece = (setup - got).min(messages::CHUNK);
                            match link.recv(step::SETUP, piece) {
                                Ok(bytes) => got += bytes.len(),
                                Err(e) => break e.to_string(),
                            }
                        };
                        println!(
                            "{:6.1} s: link {i} read {got} of {setup} in {:.1?} {end}",
                            start.elapsed().as_secs_f64(),
                            begun.elapsed()
                        );
                        note(said, "dripped".into(), begun.elapsed());
                    }
                }
                _ => panic!("no such verb"),
            });
        }
    });
    for (what, (count, longest)) in said.into_inner().expect("nobody panics while it notes") {
        println!("{count:6} x {what} (longest {longest:.2?})");
    }
}
