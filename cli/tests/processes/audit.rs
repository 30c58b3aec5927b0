//! A dealer that deals falsely, and a server that looks.

use std::{convert::Infallible, net::SocketAddr, thread, time::Duration};

use sotto::messages::{self, Ask, DealerHello, DealerWelcome, Dealt, Secret, VERSION, step};
use sotto_crypto::Seed;
use sotto_net::{Certificate, Endpoint, Identity, Link, Profile, QuicLink};
use sotto_protocols::{
    Role,
    deal::{Seeds, deal},
    plan::Plan,
    seeds::{Chain, deal_tag},
    weights::SetupMasks,
};
use zeroize::Zeroizing;

use crate::parties::{LOCAL, Parties, wait_until};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    /// One bit of the corrections.
    Corrections,
    /// The client gets another seed than the one that was dealt with.
    Client,
    /// Other seeds than it dealt with are shown.
    Shown,
    /// A tag of nothing.
    Tag,
    /// A number again.
    Again,
}

const EPOCH: [u8; 16] = [7; 16];

/// A dealer that lies in every batch.
fn liar(parties: &Parties, lie: Lie) -> SocketAddr {
    let identity = Identity::load(&parties.path(""), "dealer").unwrap();
    let server = Certificate::load(&parties.path("server.cert")).unwrap();
    let accepted = [("server".to_owned(), server)];
    let endpoint = Endpoint::bind(LOCAL, &identity, &[], &accepted, Profile::loopback()).unwrap();
    let at = endpoint.local_addr();
    thread::spawn(move || {
        let mut plan = None;
        while let Ok(mut link) = endpoint.accept(Duration::from_secs(60)) {
            link.set_deadline(Duration::from_secs(60));
            // The server hangs up when it has seen enough.
            drop(serve(&mut link, lie, &mut plan));
        }
    });
    at
}

fn serve(
    link: &mut QuicLink,
    lie: Lie,
    plan: &mut Option<std::sync::Arc<Plan>>,
) -> Result<(), sotto::Error> {
    let setup = Seed::from_bytes([1; 32]);
    match messages::recv(link, step::HELLO)? {
        DealerHello::Server { version: VERSION, card, .. } => {
            *plan = Some(card.trace(None)?.plan);
            let seed = Secret(setup.clone());
            messages::send(
                link,
                step::WELCOME,
                &DealerWelcome::Setup { epoch: EPOCH, masks: EPOCH, seed },
            )?;
            return Ok(link.finish()?);
        }
        _ => messages::send(link, step::WELCOME, &DealerWelcome::Ready)?,
    }
    let plan = plan.clone().unwrap();
    let masks = SetupMasks::expand(&plan, &setup);
    let mut chain = Chain::new(&Seed::from_bytes([2; 32]), "server");
    let mut id = 0;
    let mut party = chain.step().party;
    loop {
        match messages::recv(link, step::REQUEST)? {
            Ask::New { pad } => {
                id += u64::from(lie != Lie::Again);
                party = chain.step().party;
                let mut told = [party[0].fingerprint(), party[1].fingerprint()];
                if lie == Lie::Client {
                    told[1] = [9; 32];
                }
                let mut tag = deal_tag("server", &EPOCH, id, told.each_ref());
                if lie == Lie::Tag {
                    tag[0] ^= 1;
                }
                let mut all = Vec::new();
                let seeds = Seeds { party: party.clone(), corrected: Role::Server };
                let dealt = deal(&plan, &seeds, &masks, |bytes| {
                    all.extend(bytes);
                    Ok::<(), Infallible>(())
                });
                dealt.unwrap_or_else(|never| match never {});
                if lie == Lie::Corrections {
                    let middle = all.len() / 2;
                    all[middle] ^= 0x20;
                }
                let header = Dealt::Batch {
                    id,
                    ticket: Zeroizing::new([0; 16]),
                    tag,
                    peer: told[1],
                    seed: pad.map(|pad| Secret(party[0].clone()).under(&pad)),
                    corrections: all.len() as u64,
                };
                messages::send(link, step::REPLY, &header)?;
                messages::send_bytes(link, step::CORRECTIONS, &all)?;
            }
            Ask::Audit { .. } => {
                let mut shown = party.clone();
                if lie == Lie::Shown {
                    shown[1] = Seed::from_bytes([8; 32]);
                }
                messages::send(link, step::REPLY, &Dealt::Audit(shown.map(Secret)))?;
            }
            _ => return Ok(()),
        }
    }
}

#[test]
fn every_lie_is_seen_and_nothing_of_that_dealer_is_used() {
    let lies = [
        (Lie::Corrections, "falsely (corrections)"),
        (Lie::Client, "falsely (the client's seed)"),
        (Lie::Shown, "falsely (the client's seed)"),
        (Lie::Tag, "its tag of batch"),
        (Lie::Again, "a second time"),
    ];
    let parties = Parties::new();
    for (lie, words) in lies {
        let dealer = liar(&parties, lie);
        let (server, at) = parties.server("pool = 50\naudit = 0.9\n", dealer, None);
        server.log.wait_for("cannot be trusted", 1);
        let text = server.log.text();
        assert!(text.contains(words), "{lie:?}: {text}");
        let config = parties.client_config("client", "", [at, dealer]);
        let refused = parties.infer(&config, &["--limit", "1", &parties.text("images.bin")]);
        refused.failed(4, &["server", "no dealer", "cannot be trusted"]);
        assert!(server.log.batches(0).is_empty());
    }
}

#[test]
fn an_honest_dealer_is_looked_at_and_used() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    for folder in ["", "pool_folder = \"pool\"\n"] {
        let lines = format!("pool = 4\naudit = 0.5\n{folder}");
        let (server, at) = parties.server(&lines, dealer, None);
        let config = parties.client_config("client", "", [at, dealer]);
        let images = parties.text("images.bin");
        assert_eq!(parties.infer(&config, &["--limit", "6", &images]).classes().len(), 6);
        let looked = || server.log.text().matches("dealt as it should be").count();
        wait_until("a look", || {
            parties.works(&config);
            looked() > 0
        });
        assert!(!server.log.text().contains("WARN"), "{}", server.log.text());
    }
}

/// Corrections that go to the client are out of the server's sight.
#[test]
fn who_looks_takes_no_batches_whose_corrections_it_does_not_see() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("corrections = \"client\"\n", None);
    for (audit, is_used) in [("0.01", false), ("0", true)] {
        let (server, at) = parties.server(&format!("audit = {audit}\n"), dealer, None);
        let config = parties.client_config("client", "", [at, dealer]);
        let done = parties.infer(&config, &["--limit", "1", &parties.text("images.bin")]);
        if is_used {
            assert_eq!(done.classes().len(), 1);
        } else {
            done.failed(4, &["cannot be trusted", "corrections to the client", "`audit = 0` here"]);
            assert!(server.log.batches(0).is_empty());
        }
    }
}
