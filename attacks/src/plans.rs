//! Plans and cards that an attacker chooses: two plans that should share masks (H2), cards that should end their
//! reader (M8), and a refusal that should steer a terminal (L1).

use std::{collections::HashSet, panic::catch_unwind};

use sotto::{
    card::Card,
    messages::{
        self, Ask, ClientHello, DealerHello, DealerWelcome, Dealt, Epoch, Secret, ServerWelcome,
        VERSION, step,
    },
    refusal::Refusal,
};
use sotto_crypto::Seed;
use sotto_models::{
    Arch, Calibration,
    calibration::Range,
    format::MaxKind,
    private::{Options, Reveal, Tables},
};
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::seeds::{epoch, setup_seed};

use crate::{
    error::Error,
    peer::{self, WAIT},
    process::{Done, Process},
    raw,
    report::Found,
    scene::Scene,
};

/// Announces a card to the dealer with the server's key.
fn announce(
    attacker: &Endpoint,
    dealer: &Process,
    card: &Card,
    plan: [u8; 32],
) -> Result<Result<Epoch, Refusal>, Error> {
    let mut link = peer::connect(attacker, "dealer", dealer)?;
    let commitment = [1; 32];
    let hello = DealerHello::Server {
        version: VERSION,
        card: card.clone(),
        length: None,
        plan,
        commitment,
    };
    messages::send(&mut link, step::HELLO, &hello)?;
    match messages::recv(&mut link, step::WELCOME)? {
        DealerWelcome::Setup { epoch, .. } => Ok(Ok(epoch)),
        DealerWelcome::Refused(why) => Ok(Err(why)),
        DealerWelcome::Ready => Err(Error::scene("the dealer answers another question")),
    }
}

/// A link for the batches of one plan.
fn batches(
    attacker: &Endpoint,
    dealer: &Process,
    plan: [u8; 32],
    epoch: Epoch,
) -> Result<QuicLink, Error> {
    let mut link = peer::connect(attacker, "dealer", dealer)?;
    let hello = DealerHello::Batches { version: VERSION, server: None, plan, epoch };
    messages::send(&mut link, step::HELLO, &hello)?;
    match messages::recv(&mut link, step::WELCOME)? {
        DealerWelcome::Ready => Ok(link),
        _ => Err(Error::scene("the dealer gives the server no batches")),
    }
}

/// H2: plans whose hashes agree in their first bytes.
pub fn one_prefix(scene: &Scene) -> Result<Found, Error> {
    let tried = "masks of two plan hashes that agree in 8 and in 31 bytes; batches of two plans of one server in turn";
    let master = Seed::from_bytes([3; 32]);
    let mut secrets = HashSet::new();
    for differs in [None, Some(8), Some(31)] {
        let plan: [u8; 32] = std::array::from_fn(|i| 7 ^ u8::from(Some(i) == differs));
        secrets.insert(setup_seed(&master, "server", b"weights", &plan).expose().to_vec());
        secrets.insert(epoch(&master, "server", b"weights", &plan).to_vec());
    }
    let apart = secrets.len();

    let dealer = scene.dealer()?;
    let attacker = scene.endpoint("server", &["dealer"], &[])?;
    let mut links = Vec::new();
    for batch in [1, 2] {
        let card = scene.model.card(batch, Options::default());
        let plan = card.trace(None)?.plan.hash();
        let epoch = announce(&attacker, &dealer, &card, plan)?.map_err(Error::scene)?;
        links.push(batches(&attacker, &dealer, plan, epoch)?);
    }
    let (mut seeds, mut numbers, mut dealt) = (HashSet::new(), HashSet::new(), 0);
    for _ in 0..3 {
        for link in &mut links {
            messages::send(
                link,
                step::REQUEST,
                &Ask::New { pad: Some(Secret::random().map_err(sotto::error::Error::from)?) },
            )?;
            let reply: Dealt = messages::recv(link, step::REPLY)?;
            let Dealt::Batch { id, seed: Some(seed), corrections, .. } = reply else {
                return Err(Error::scene("the dealer gives the server no batch"));
            };
            messages::recv_bytes(link, step::CORRECTIONS, corrections as usize, &|_, _| Ok(()))?;
            numbers.insert(id);
            seeds.insert(*seed.0.expose());
            dealt += 1;
        }
    }
    let held = apart == 6 && numbers.len() == dealt && seeds.len() == dealt;
    let got = format!(
        "{apart} of 6 seeds and epochs differ; {dealt} batches, {} numbers, {} seeds",
        numbers.len(),
        seeds.len()
    );
    Ok(Found::new(held, tried, got))
}

/// Cards that are wrong in one thing each.
fn hostile_cards(scene: &Scene) -> Vec<(&'static str, Card)> {
    let model = &scene.model;
    let honest = model.card(1, Options::default());
    let ranged = |size: f32, layer: Option<usize>| {
        let mut calibration: Calibration = model.calibration.clone();
        let all = calibration.layers.iter_mut().enumerate();
        for (_, layer) in all.filter(|(i, _)| layer.is_none_or(|l| l == *i)) {
            layer.values_mut().for_each(|range| *range = Range { min: -size, max: size });
        }
        calibration.to_toml()
    };
    let demo =
        Arch::from_toml(include_str!("../../models/demo/arch.toml")).expect("the demo model's");
    let classes = Arch { classes: 200, labels: Vec::new(), ..demo };
    let largest = Arch::vit(64, 256, 768, 1024, 1024, 32, 65_536);
    let card = || honest.clone();
    let class = Options { reveal: Reveal::Class, ..Options::default() };
    let rows = Options { tables: Tables::Rows, ..Options::default() };
    let public = Options { max: MaxKind::Public, ..Options::default() };
    vec![
        (
            "200 classes, the class alone",
            Card { arch: classes.to_toml(), options: class, ..card() },
        ),
        (
            "logits of 2^18, the class alone",
            Card {
                calibration: ranged(3e5, Some(model.arch.stack.layers)),
                options: class,
                ..card()
            },
        ),
        (
            "wide ranges in row tables",
            Card { calibration: ranged(3e3, None), options: rows, ..card() },
        ),
        ("ranges of 0", Card { calibration: ranged(0.0, None), ..card() }),
        ("ranges of NaN", Card { calibration: ranged(f32::NAN, None), options: public, ..card() }),
        ("a batch of 2^40", Card { batch: 1 << 40, ..card() }),
        ("no batch", Card { batch: 0, ..card() }),
        ("the largest sizes", Card { arch: largest.to_toml(), ..card() }),
        ("nested brackets", Card { arch: "x = ".to_owned() + &"[".repeat(200_000), ..card() }),
    ]
}

/// Lets the stock client connect to a server in the attacker's hands, which answers `welcome`.
fn client_of(scene: &Scene, dealer: &Process, welcome: ServerWelcome) -> Result<Done, Error> {
    let rogue = scene.endpoint("server", &[], &["client"])?;
    let config = scene.client_config("client", [rogue.local_addr(), dealer.address])?;
    std::thread::scope(|scope| {
        let client = scope.spawn(|| scene.infer(&config, 1));
        let mut link = rogue.accept(WAIT)?;
        link.set_deadline(WAIT);
        let _: ClientHello = messages::recv(&mut link, step::HELLO)?;
        messages::send(&mut link, step::WELCOME, &welcome)?;
        // It may have gone before it has read everything.
        drop(link.finish());
        client.join().map_err(|_| Error::scene("a thread of ours panicked"))?
    })
}

/// M8: cards for the dealer and for clients.
pub fn hostile_cards_end_nobody(scene: &Scene) -> Result<Found, Error> {
    let dealer = scene.dealer()?;
    let attacker = scene.endpoint("server", &["dealer"], &[])?;
    let cards = hostile_cards(scene);
    let tried = format!("{} cards to the dealer and to the stock client: {}", cards.len(), {
        let names: Vec<_> = cards.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    });
    let mut broken = Vec::new();
    let (mut refused, mut taken) = (0, 0);
    for (name, card) in &cards {
        let traced = catch_unwind(|| card.trace(None).map(|private| private.plan.hash()));
        let plan = traced.ok().and_then(Result::ok).unwrap_or_default();
        match announce(&attacker, &dealer, card, plan) {
            Ok(Ok(_)) => taken += 1,
            Ok(Err(_)) => refused += 1,
            Err(e) => broken.push(format!("the dealer's link ends with {name}: {e}")),
        }
        let (card, model) = (card.clone(), [0; 32]);
        let welcome = {
            let (epoch, masks) = ([0; 16], [0; 16]);
            let (name, waits) = ("model".into(), Vec::new());
            ServerWelcome::Card { name, card, plan, model, epoch, masks, setup: 1, keeps: 0, waits }
        };
        let done = client_of(scene, &dealer, welcome)?;
        if !matches!(done.code, 1..=5) || done.err.contains("panicked") {
            broken.push(format!("the client ends with {name}: {}", done.error()));
        }
    }
    let honest = scene.model.card(1, Options::default());
    let plan = honest.trace(None)?.plan.hash();
    if announce(&attacker, &dealer, &honest, plan)?.is_err() || dealer.text().contains("panicked") {
        broken.push("a thread of the dealer ended".into());
    }
    let got = match broken.first() {
        None => format!("{refused} refused, {taken} traced; dealer and client go on"),
        Some(first) => first.clone(),
    };
    Ok(Found::new(broken.is_empty(), tried, got))
}

/// What would set a terminal's title, clear it and fake a line.
const STEERING: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[H\r\nerror: all is well\u{9b}31m\u{202e}";

fn steers(text: &str) -> bool {
    let control = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().any(|c| control(c) || c == '\u{202e}') || text.contains("\nerror: all is well")
}

/// L1: control characters in a refusal, and in the reason of a close.
pub fn control_characters(scene: &Scene) -> Result<Found, Error> {
    let tried = "terminal escapes in a server's refusal to the stock client and in a client's close to the server's log";
    let dealer = scene.dealer()?;
    let why = Refusal::Card(STEERING.repeat(20));
    let done = client_of(scene, &dealer, ServerWelcome::Refused(why))?;
    let server = scene.server(["", ""], dealer.address, None)?;
    raw::close_with(scene, "client", server.address, STEERING.as_bytes())?;
    server.says("client", 1)?;
    let log = server.text();
    let longest = done.err.lines().map(str::len).max().unwrap_or(0);
    let held = !steers(&done.err) && !steers(&log) && longest < 1000 && done.err.contains("owned");
    let got = match held {
        true => format!("escaped, and cut to a line of {longest} characters"),
        false => "they reach the terminal".into(),
    };
    Ok(Found::new(held, tried, got))
}
