//! A dealer that cheats: caught and trusted again (A3), out of the audit's sight (A4), or with a memory that was restored.

use sotto::{
    config::Source,
    messages::{self, ClientHello, ServerWelcome, step},
};
use sotto_protocols::Role;

use crate::{
    dealer::{Dealer, Ways},
    error::Error,
    peer,
    process::Process,
    report::Found,
    scene::Scene,
};

const HONEST: Ways = Ways { epoch: [1; 16], next: 1, corrected: Role::Server, lies: false };

/// How the dealer cheats.
#[derive(Clone, Copy)]
pub enum Cheat {
    /// False corrections.
    Lies,
    /// False corrections that go to the client.
    Hidden,
    /// Numbers that it gave before.
    Restored,
}

/// The dealer cheats, a client in its pay says that the epoch is over, and it is honest in a new one.
pub fn caught(scene: &Scene, cheat: Cheat) -> Result<Found, Error> {
    let (tried, ways) = match cheat {
        Cheat::Lies => ("false corrections", Ways { lies: true, ..HONEST }),
        Cheat::Hidden => {
            let ways = Ways { lies: true, corrected: Role::Client, ..HONEST };
            ("false corrections to the client", ways)
        }
        Cheat::Restored => ("numbers that go back", HONEST),
    };
    let tried = format!("{tried}, `audit = 0.9`; then a client's `stale`, and a new epoch");
    let dealer = Dealer::start(scene, ways)?;
    let server = scene.server(["pool = 20\naudit = 0.9\n", ""], dealer.address, None)?;
    let config = scene.client_config("client", [server.address, dealer.address])?;
    if matches!(cheat, Cheat::Restored) {
        if scene.classes(&config, 2)?.len() != 2 {
            return Err(Error::scene("an honest client fails"));
        }
        dealer.turn(|ways| ways.next = 1);
        drop(scene.infer(&config, 2)?);
    }
    let caught = server.says("cannot be trusted", 1).is_ok();
    let before = server.batches().len();
    dealer.turn(|ways| *ways = Ways { epoch: [2; 16], next: 1000, ..HONEST });
    let answer = stale(scene, &server)?;
    let done = scene.infer(&config, 1)?;
    let used = server.batches().len() - before;
    let held = caught && done.code == 4 && done.err.contains("cannot be trusted") && used == 0;
    let got = format!(
        "caught: {caught}; `stale`: {answer}; {used} more of its batches used; an honest client: {}",
        done.error()
    );
    Ok(Found::new(held, tried, got))
}

/// A client that says that the dealer no longer knows the epoch; gives the server's answer.
fn stale(scene: &Scene, server: &Process) -> Result<&'static str, Error> {
    let endpoint = scene.endpoint("client", &["server"], &[])?;
    let mut link = peer::connect(&endpoint, "server", server)?;
    let hello = ClientHello { stale: Some(HONEST.epoch), ..ClientHello::new(Source::Dealer) };
    messages::send(&mut link, step::HELLO, &hello)?;
    Ok(match messages::welcome(&mut link, drop)? {
        ServerWelcome::Card { .. } => "a new session",
        ServerWelcome::Refused(_) => "refused",
        ServerWelcome::Making(_) => "made",
        ServerWelcome::Waiting { .. } => "no dealer",
    })
}
