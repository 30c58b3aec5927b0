//! A server in the attacker's hands against the stock client, where the two make their correlations alone (P1): messages that
//! are wrong, cut, swapped, repeated, sent back or never sent, in every place where the client reads one.
//!
//! A client may be held and may get no result. It must end by itself, within a small multiple of its deadline, with one
//! error and few lines; it leaves nothing on its disk, and no way in which it ends depends on its picture.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sotto::{
    card::Card,
    messages::{self, ClientHello, Epoch, Masks, Nonce, Reply, Request, ServerWelcome, Tag, step},
    refusal::Refusal,
    workshop::{Workshop, session},
};
use sotto_models::private::Options;
use sotto_net::{Link, QuicLink};
use sotto_protocols::{
    Role,
    batch::Staged,
    make::{Extension, Recipe, whole_recipe},
    party::Party,
    plan::Plan,
    weights::Weights,
};

use crate::{
    error::Error,
    process::Done,
    report::{Found, Verdict},
    scene::Scene,
};

/// A life, for what should end before.
const LIFE: Duration = Duration::from_secs(60);

/// Longest that the client may take: some of its deadlines.
const LONGEST: Duration = Duration::from_secs(28);

/// Lines that a client may write until it ends.
const LINES: usize = 30;

/// What the server says in the place of an honest message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Ones,
    Zeros,
    Short,
    Long,
    /// What the client has sent last, so far as it has the length.
    Echo,
    Nothing,
}

/// Where, and what.
#[derive(Clone, Copy, Debug)]
enum Cheat {
    Honest,
    Base(Says),
    Answer(Says),
    Keys(Says),
    Encrypted(Says),
    Level(usize, Says),
    Opening(Says),
    /// Refusals of a kind, to every greeting.
    Greets(fn() -> Refusal),
    /// To the greeting of a link for making.
    GreetsMaking(fn() -> Refusal),
    /// To every request for a batch.
    Makes(fn() -> Refusal),
    /// To every use of one.
    Uses(fn() -> Refusal),
    /// It says that it waits, without end.
    Waits,
    /// The same of its rate.
    Paces,
    /// A number again.
    Again,
    /// Another batch, tag or count of bytes than was made.
    Other(u8),
    /// An answer to another question.
    Confused,
    /// It closes every link behind the greeting.
    Leaves,
    /// Another model's commitment at the second greeting.
    OtherModel,
}

/// All of them.
fn cheats() -> Vec<Cheat> {
    use Cheat::{
        Again, Answer, Base, Confused, Encrypted, Greets, GreetsMaking, Honest, Keys, Leaves,
        Level, Makes, Opening, Other, OtherModel, Paces, Uses, Waits,
    };
    let says = [Says::Ones, Says::Zeros, Says::Short, Says::Long, Says::Echo, Says::Nothing];
    let refusals: [fn() -> Refusal; 4] = [
        || Refusal::Busy(1),
        || Refusal::Stale,
        || Refusal::Burnt(7),
        || Refusal::Exhausted("\u{1b}[2J\u{202e}".repeat(1000)),
    ];
    let mut all = vec![Honest];
    for what in [Base, Answer, Keys, Encrypted, Opening] {
        all.extend(says.map(what));
    }
    for level in [0, 1, 5] {
        all.extend(says.map(|says| Level(level, says)));
    }
    for what in [Greets, GreetsMaking, Makes, Uses] {
        all.extend(refusals.map(what));
    }
    all.extend([0, 1, 2].map(Other));
    all.extend([Waits, Paces, Again, Confused, Leaves, OtherModel]);
    all
}

/// What has been made, until it is used.
type Shelf = Mutex<HashMap<u64, (Staged, Tag, u64)>>;

struct Rogue {
    cheat: Cheat,
    card: Card,
    plan: Arc<Plan>,
    recipe: Arc<Recipe>,
    weights: Weights,
    made: Shelf,
    /// Links so far, and the next batch.
    links: AtomicUsize,
    next: AtomicUsize,
}

impl Rogue {
    fn new(scene: &Scene, cheat: Cheat) -> Result<Self, Error> {
        let card = scene.model.card(1, Options::default());
        let private = card.trace(None)?;
        let weights = Weights::Plain(private.matrices(&scene.model.weights));
        let (plan, recipe) =
            (Arc::clone(&private.plan), Arc::new(whole_recipe(&private.plan, Extension::Ferret)?));
        let (made, links, next) = Default::default();
        Ok(Self { cheat, card, plan, recipe, weights, made, links, next })
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, HashMap<u64, (Staged, Tag, u64)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attends to a link until it ends.
    fn attend(&self, link: &mut QuicLink) -> Result<(), Error> {
        link.set_deadline(LIFE);
        let hello: ClientHello = messages::recv(link, step::HELLO)?;
        let number = self.links.fetch_add(1, Ordering::Relaxed);
        let refused = |link: &mut QuicLink, why| -> Result<(), Error> {
            messages::send(link, step::WELCOME, &ServerWelcome::Refused(why))?;
            Ok(link.finish()?)
        };
        match (self.cheat, hello.making) {
            (Cheat::Greets(why), _) => return refused(link, why()),
            (Cheat::GreetsMaking(why), Some(_)) => return refused(link, why()),
            (_, Some(theirs)) => return self.make(link, theirs),
            _ => {}
        }
        let model = match self.cheat {
            Cheat::OtherModel if number > 0 => [9; 32],
            _ => [0; 32],
        };
        let welcome = ServerWelcome::Card {
            name: "rogue".into(),
            card: self.card.clone(),
            plan: self.plan.hash(),
            model,
            epoch: Epoch::default(),
            masks: Masks::default(),
            setup: 0,
            keeps: 0,
            waits: Vec::new(),
        };
        messages::send(link, step::WELCOME, &welcome)?;
        if matches!(self.cheat, Cheat::Leaves) {
            return Ok(());
        }
        self.serve(link)
    }

    fn serve(&self, link: &mut QuicLink) -> Result<(), Error> {
        loop {
            let id = match messages::recv(link, step::REQUEST)? {
                Request::Prepare { .. } if matches!(self.cheat, Cheat::OtherModel) => return Ok(()),
                Request::Prepare { held, .. } => held.unwrap_or_default(),
                Request::Infer { id, .. } => {
                    self.evaluate(link, id)?;
                    continue;
                }
                _ => return Ok(link.finish()?),
            };
            let found = self.shelf().get(&id).map(|(_, tag, bytes)| (*tag, *bytes));
            let Some((mut tag, mut offline_bytes)) = found else {
                return Err(Error::scene("it asks for what was not made"));
            };
            match self.cheat {
                Cheat::Waits => {
                    return without_end(link, |got| Reply::Waiting { got, all: u64::MAX });
                }
                Cheat::Paces => return without_end(link, |_| Reply::Paced { left: 1 }),
                _ => {}
            }
            let mut named = id;
            match self.cheat {
                Cheat::Uses(why) => {
                    messages::send(link, step::REPLY, &Reply::Refused(why()))?;
                    continue;
                }
                Cheat::Other(0) => named += 1,
                Cheat::Other(1) => tag[0] ^= 1,
                Cheat::Other(_) => offline_bytes += 1,
                _ => {}
            }
            let ready = Reply::Ready { id: named, tag, offline_bytes, ahead: Vec::new() };
            messages::send(link, step::REPLY, &ready)?;
        }
    }

    fn evaluate(&self, link: &mut QuicLink, id: u64) -> Result<(), Error> {
        let staged = self.shelf().remove(&id);
        let Some((staged, ..)) = staged else {
            return Err(Error::scene("a batch is used a second time"));
        };
        let mut rewritten = Rewriting { link, at: 0, what: None, last: Vec::new() };
        if let Cheat::Opening(says) = self.cheat {
            rewritten.what = Some((1, says));
        }
        let party = Party { role: Role::Server, plan: &self.plan, weights: &self.weights };
        party.evaluate(&mut rewritten, staged, &[])?;
        Ok(())
    }

    fn make(&self, link: &mut QuicLink, theirs: Nonce) -> Result<(), Error> {
        messages::send(link, step::WELCOME, &ServerWelcome::Making([3; 32]))?;
        let name = session([theirs, [3; 32]], &self.plan.hash(), &[0; 32], self.recipe.extension);
        let what = match self.cheat {
            Cheat::Base(says) => Some((1, says)),
            Cheat::Answer(says) => Some((2, says)),
            Cheat::Keys(says) => Some((3, says)),
            // Keys are two messages.
            Cheat::Encrypted(says) => Some((5, says)),
            _ => None,
        };
        let mut rewritten = Rewriting { link, at: 0, what, last: Vec::new() };
        let matrices = Some(self.weights.all_plain());
        let within = (LIFE, &(|_, _| Ok(())) as _);
        let recipe = Arc::clone(&self.recipe);
        let opened = Workshop::open(Role::Server, recipe, &mut rewritten, name, matrices, within);
        let mut workshop = opened?;
        loop {
            if !matches!(messages::recv(rewritten.link, step::REQUEST)?, Request::Make { .. }) {
                return Ok(rewritten.link.finish()?);
            }
            let mut id = self.next.fetch_add(1, Ordering::Relaxed) as u64;
            let reply = match self.cheat {
                Cheat::Makes(why) => Reply::Refused(why()),
                Cheat::Confused => Reply::Waiting { got: 0, all: 0 },
                Cheat::Again => {
                    id = 0;
                    Reply::Making { id, pad: None }
                }
                _ => Reply::Making { id, pad: None },
            };
            let makes = matches!(reply, Reply::Making { .. });
            messages::send(rewritten.link, step::REPLY, &reply)?;
            if !makes {
                continue;
            }
            if let Cheat::Level(level, says) = self.cheat {
                (rewritten.at, rewritten.what) = (0, Some((1 + level, says)));
            }
            let (batch, traffic) = workshop.make(&mut rewritten, id, LIFE, &|| ())?;
            let staged = batch.stage(&self.plan, Role::Server, &self.weights)?;
            let bytes = traffic.from_server + traffic.from_client;
            self.shelf().insert(id, (staged, workshop.tag(id), bytes));
        }
    }
}

/// Says something again and again.
fn without_end(link: &mut QuicLink, says: impl Fn(u64) -> Reply) -> Result<(), Error> {
    for said in 0.. {
        messages::send(link, step::REPLY, &says(said))?;
    }
    Ok(())
}

/// A link on which the message of one place is another.
struct Rewriting<'a> {
    link: &'a mut QuicLink,
    at: usize,
    what: Option<(usize, Says)>,
    /// What came last.
    last: Vec<u8>,
}

impl Link for Rewriting<'_> {
    fn send(&mut self, step: u32, payload: Vec<u8>) -> Result<(), sotto_net::Error> {
        self.at += 1;
        let len = payload.len();
        let payload = match self.what {
            Some((at, says)) if at == self.at => match says {
                Says::Ones => vec![0xff; len],
                Says::Zeros => vec![0; len],
                Says::Short => payload[..len - 1].to_vec(),
                Says::Long => [payload, vec![0]].concat(),
                Says::Echo => {
                    let mut echo = self.last.clone();
                    echo.resize(len, 1);
                    echo
                }
                Says::Nothing => return Ok(()),
            },
            _ => payload,
        };
        self.link.send(step, payload)
    }

    fn room(&mut self, at_most: u64) -> Result<(), sotto_net::Error> {
        self.link.room(at_most)
    }

    fn recv(&mut self, step: u32, len: usize) -> Result<Vec<u8>, sotto_net::Error> {
        let message = self.link.recv(step, len)?;
        self.last.clone_from(&message);
        Ok(message)
    }

    fn recv_upto(&mut self, step: u32, limit: usize) -> Result<Vec<u8>, sotto_net::Error> {
        self.link.recv_upto(step, limit)
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.link.set_deadline(deadline);
    }

    fn set_longest(&mut self, longest: Option<Duration>) {
        self.link.set_longest(longest);
    }

    fn traffic(&self) -> sotto_net::Traffic {
        self.link.traffic()
    }

    fn peer(&self) -> &str {
        self.link.peer()
    }

    fn finish(&mut self) -> Result<(), sotto_net::Error> {
        self.link.finish()
    }
}

/// Runs the stock client against a cheat.
fn with_client(scene: &Scene, cheat: Cheat) -> Result<(Done, Duration, usize), Error> {
    let endpoint = scene.endpoint("server", &[], &["client"])?;
    let config = scene.peer_config("client", endpoint.local_addr())?;
    let (rogue, over) = (Rogue::new(scene, cheat)?, AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if let Ok(mut link) = endpoint.accept(Duration::from_millis(100)) {
                    let rogue = &rogue;
                    // What ends it is the client's to tell.
                    scope.spawn(move || drop(rogue.attend(&mut link)));
                }
            }
        });
        let start = Instant::now();
        let done = scene.infer(&config, 2);
        let took = start.elapsed();
        over.store(true, Ordering::Relaxed);
        Ok((done?, took, rogue.links.load(Ordering::Relaxed)))
    })
}

/// P1: every cheat, or some of them, each against a client of its own.
pub fn servers(scene: &Scene, quick: bool) -> Result<Found, Error> {
    // Whatever the others attack: how the client ends depends on no size.
    let scene = &scene.tiny()?;
    let some = |(i, cheat): &(usize, Cheat)| {
        !quick || i % 24 == 0 || matches!(cheat, Cheat::Waits | Cheat::Paces)
    };
    let all: Vec<Cheat> =
        cheats().into_iter().enumerate().filter(some).map(|(_, cheat)| cheat).collect();
    let tried =
        format!("{} ways for a server to deviate in making, each against a client", all.len());
    let (mut worst, mut most, mut wrong) = ((Duration::ZERO, String::new()), 0, Vec::new());
    let held = |cheat: &Cheat, done: &Done| match cheat {
        Cheat::Honest => done.code == 0,
        // What is opened under masks is uniform to the server, whatever came before: a false result is no more than one.
        Cheat::Again
        | Cheat::Base(_)
        | Cheat::Answer(_)
        | Cheat::Keys(_)
        | Cheat::Encrypted(_)
        | Cheat::Level(..)
        | Cheat::Opening(_)
            if done.code == 0 =>
        {
            true
        }
        _ => done.code > 0 && done.err.lines().filter(|l| l.starts_with("error: ")).count() == 1,
    };
    for cheat in all {
        let before = files(scene)?;
        let (done, took, links) = with_client(scene, cheat)?;
        let lines = done.err.lines().count();
        let longest = done.err.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let plain = done.err.chars().all(|c| !c.is_control() || c == '\n');
        let ended = held(&cheat, &done);
        let left = files(scene)?;
        let few = lines <= LINES && longest <= 800 && plain;
        let how = format!("{cheat:?}: {took:.1?}, {links} links, {lines} lines, {}", done.error());
        if !ended || !few || took > LONGEST || left != before || done.err.contains("panicked") {
            wrong.push(how);
        }
        most = most.max(lines);
        worst = worst.max((took, format!("{cheat:?}")));
    }
    if wrong.is_empty() {
        let (took, cheat) = worst;
        let got = format!("clients end within {took:.1?} ({cheat}), with {most} lines at most");
        return Ok(Found { tried, got, verdict: Verdict::Held });
    }
    Ok(Found::broken(tried, wrong.join("; ")))
}

/// What is in the folder, but for what the client's own output goes to.
fn files(scene: &Scene) -> Result<Vec<std::ffi::OsString>, Error> {
    let folder = scene.path("");
    let all = std::fs::read_dir(&folder).map_err(Error::io(&folder))?;
    let mut all: Vec<_> = all.flatten().map(|entry| entry.file_name()).collect();
    all.retain(|name| name != "client.toml" && name != "out.txt" && name != "err.txt");
    all.sort();
    Ok(all)
}
