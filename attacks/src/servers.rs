//! A server in the attacker's hands: it changes its card in the middle of a stream, and assigns more than was asked for (A7).

use std::{thread, time::Duration};

use sotto::{
    card::Card,
    messages::{
        self, Ask, Assigned, ClientHello, DealerHello, DealerWelcome, Dealt, Epoch, Reply, Request,
        ServerWelcome, VERSION, step,
    },
    refusal::Refusal,
};
use sotto_models::private::Options;
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::plan::Plan;

use crate::{
    error::Error,
    peer::{self, WAIT},
    process::{Done, Process},
    report::Found,
    scene::Scene,
};

/// More than any client should take for one evaluation.
const FLOOD: usize = 12;

/// Announces a card to the stock dealer.
fn announce(from: &Endpoint, dealer: &Process, card: &Card, plan: &Plan) -> Result<Epoch, Error> {
    let mut link = peer::connect(from, "dealer", dealer)?;
    let (card, plan) = (card.clone(), plan.hash());
    let hello =
        DealerHello::Server { version: VERSION, card, length: None, plan, commitment: [1; 32] };
    messages::send(&mut link, step::HELLO, &hello)?;
    match messages::recv(&mut link, step::WELCOME)? {
        DealerWelcome::Setup { epoch, .. } => {
            drop(link.finish());
            Ok(epoch)
        }
        _ => Err(Error::scene("the dealer takes no announcement")),
    }
}

/// The next client, greeted with a card and masked weights.
fn greet(rogue: &Endpoint, card: &Card, plan: &Plan, epoch: Epoch) -> Result<QuicLink, Error> {
    let mut link = rogue.accept(WAIT)?;
    link.set_deadline(WAIT);
    let _: ClientHello = messages::recv(&mut link, step::HELLO)?;
    let setup = vec![3; plan.setup_bytes()];
    let welcome = ServerWelcome::Card {
        name: "model".into(),
        card: card.clone(),
        plan: plan.hash(),
        model: [0; 32],
        epoch,
        masks: epoch,
        setup: setup.len() as u64,
        keeps: 0,
        waits: Vec::new(),
    };
    messages::send(&mut link, step::WELCOME, &welcome)?;
    messages::send_bytes(&mut link, step::SETUP, &setup)?;
    Ok(link)
}

/// Runs the stock client against what `serve` does.
fn with_client<T>(
    scene: &Scene,
    rogue: &Endpoint,
    dealer: &Process,
    serve: impl FnOnce() -> Result<T, Error>,
) -> Result<(Done, T), Error> {
    let config = scene.client_config("client", [rogue.local_addr(), dealer.address])?;
    thread::scope(|scope| {
        let client = scope.spawn(|| scene.infer(&config, 1));
        let served = serve();
        let done = client.join().map_err(|_| Error::scene("a thread of ours panicked"))?;
        Ok((done?, served?))
    })
}

/// The client comes again after a failure and is shown another card: its range is another question about the picture.
pub fn changed_card(scene: &Scene) -> Result<Found, Error> {
    let tried = "a link that breaks after the first request, then another card for the same stream";
    let dealer = scene.dealer()?;
    let rogue = scene.endpoint("server", &["dealer"], &["client"])?;
    let first = scene.model.card(1, Options::default());
    let plan = first.trace(None)?.plan;
    let epoch = announce(&rogue, &dealer, &first, &plan)?;
    let second = scene.model.card(2, Options::default());
    let (done, asked) = with_client(scene, &rogue, &dealer, || {
        let mut link = greet(&rogue, &first, &plan, epoch)?;
        let _: Request = messages::recv(&mut link, step::REQUEST)?;
        drop(link);
        let other = second.trace(None)?.plan;
        // It hangs up while the masked weights are coming, or asks for nothing.
        let Ok(mut link) = greet(&rogue, &second, &other, epoch) else { return Ok(false) };
        Ok(messages::recv::<Request>(&mut link, step::REQUEST).is_ok())
    })?;
    let held = !asked && done.code == 1 && done.err.contains("something else than before");
    Ok(Found::new(held, tried, done.error()))
}

/// A7: one `Assigned` after the other, for batches that are there.
pub fn assigns(scene: &Scene) -> Result<Found, Error> {
    let tried = format!("{FLOOD} batches assigned for one evaluation, none said to be ready");
    let dealer = scene.dealer()?;
    let rogue = scene.endpoint("server", &["dealer"], &["client"])?;
    let card = scene.model.card(1, Options::default());
    let plan = card.trace(None)?.plan;
    let epoch = announce(&rogue, &dealer, &card, &plan)?;
    let mut supply = peer::connect(&rogue, "dealer", &dealer)?;
    let hello = DealerHello::Batches { version: VERSION, server: None, plan: plan.hash(), epoch };
    messages::send(&mut supply, step::HELLO, &hello)?;
    let _: DealerWelcome = messages::recv(&mut supply, step::WELCOME)?;
    let (done, taken) = with_client(scene, &rogue, &dealer, || {
        let mut link = greet(&rogue, &card, &plan, epoch)?;
        let _: Request = messages::recv(&mut link, step::REQUEST)?;
        let mut taken = FLOOD;
        for i in 0..FLOOD {
            messages::send(&mut supply, step::REQUEST, &Ask::New { pad: None })?;
            let (id, ticket) = match messages::recv(&mut supply, step::REPLY)? {
                Dealt::Batch { id, ticket, corrections, .. } => {
                    let count = corrections as usize;
                    messages::recv_bytes(&mut supply, step::CORRECTIONS, count, &|_, _| Ok(()))?;
                    (id, ticket)
                }
                _ => return Err(Error::scene("the dealer gives no batch")),
            };
            let one = Reply::Assigned(Assigned { id, ticket });
            let sent = messages::send(&mut link, step::REPLY, &one);
            // Who is done with us says so in this time.
            link.set_deadline(Duration::from_millis(100));
            let ended = link.recv_upto(step::REQUEST, 1 << 20);
            if sent.is_err() || !matches!(ended, Err(sotto_net::Error::Deadline { .. })) {
                taken = i;
                break;
            }
        }
        drop(link);
        // It tries again: this is the end.
        let mut link = rogue.accept(WAIT)?;
        link.set_deadline(WAIT);
        let _: ClientHello = messages::recv(&mut link, step::HELLO)?;
        let no = ServerWelcome::Refused(Refusal::Quota { used: 0, quota: 0 });
        messages::send(&mut link, step::WELCOME, &no)?;
        drop(link.finish());
        Ok(taken)
    })?;
    let held = taken <= 4 && done.code == 4 && done.err.contains("more than was asked for");
    let warned = done.err.lines().find(|line| line.contains("WARN")).unwrap_or_default();
    let got = format!("the client took {taken}; {warned}");
    Ok(Found::new(held, tried, got))
}
