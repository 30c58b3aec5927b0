//! What a client does before its first evaluation: trace the server's model and take the masked weights.

use std::sync::Arc;

use sotto_models::{Private, calibration::hex};
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{Role, make::whole_recipe, plan::Plan, weights::Weights};

use super::{Lane, making::Making};
use crate::{
    card::{Card, short},
    config::ClientConfig,
    error::Error,
    lexicon::Lexicon,
    messages::{self, ClientHello, ServerWelcome, step},
    workshop::{COTS, Workshop, longest, nonce, patience, session},
};

/// Traces the card's plan, which must be the one that the server says.
pub(super) fn trace(
    card: &Card,
    rows: Option<u32>,
    theirs: [u8; 32],
    peer: &str,
) -> Result<Private, Error> {
    let unusable = |e: Error| Error::Card { peer: peer.into(), why: e.to_string() };
    let private = card.trace(rows.map(|n| n as usize)).map_err(unusable)?;
    let ours = private.plan.hash();
    if ours != theirs {
        return Err(Error::Check(format!(
            "{peer} runs plan {}, its own description gives {} here: run the same version of sotto",
            short(&theirs),
            short(&ours)
        )));
    }
    Ok(private)
}

/// Refuses a tokenizer or tables that are not those of the server's model: results would be of other words.
pub(super) fn same_lexicon(
    card: &Card,
    lexicon: Option<&Lexicon>,
    peer: &str,
) -> Result<(), Error> {
    match lexicon {
        Some(ours) if card.lexicon != Some(ours.hash()) => Err(Error::Config(format!(
            "`lexicon` is not that of the model of {peer}: get the folder that `sotto lexicon` writes of it there"
        ))),
        _ => Ok(()),
    }
}

/// Receives the masked weights, of the size that the plan says.
pub(super) fn receive_setup(
    link: &mut QuicLink,
    plan: &Plan,
    announced: u64,
    progress: &dyn Fn(u64, u64),
) -> Result<Vec<u8>, Error> {
    let expected = plan.setup_bytes() as u64;
    if announced != expected {
        return Err(Error::Check(format!(
            "{} announces {announced} bytes of masked weights, the plan says {expected}",
            link.peer()
        )));
    }
    messages::recv_bytes(link, step::SETUP, expected as usize, progress)
}

/// Something that was not asked for.
pub(super) fn garbage(link: &QuicLink, step: u32) -> Error {
    let (peer, why) = (link.peer().to_owned(), "more than was asked for".into());
    Error::Net(sotto_net::Error::Garbage { peer, step, why })
}

/// Connects for making batches, and sets that up; `progress` is told of the encrypted weights.
pub(super) fn making(
    config: &ClientConfig,
    endpoint: &Endpoint,
    (lane, weights, model): (&Lane, &Arc<Weights>, &[u8; 32]),
    progress: &dyn Fn(u64, u64),
) -> Result<Making, Error> {
    let plan = &lane.private.plan;
    // Before it is asked for: a description may ask for more than two parties can make.
    let recipe = Arc::new(whole_recipe(plan)?);
    let cost = recipe.cost(plan, COTS);
    let deadline = config.own.deadline();
    let mut link = endpoint.connect(config.server.address()?, &config.server.name, deadline)?;
    link.set_deadline(deadline);
    let ours = nonce()?;
    let hello = ClientHello {
        model: Some(hex(model)),
        rows: lane.rows,
        making: Some(ours),
        ..ClientHello::new(config.source)
    };
    messages::send(&mut link, step::HELLO, &hello)?;
    let theirs = match messages::recv(&mut link, step::WELCOME)? {
        ServerWelcome::Making(theirs) => theirs,
        ServerWelcome::Refused(why) => {
            return Err(Error::Refused { peer: link.peer().to_owned(), why });
        }
        ServerWelcome::Card { .. } => return Err(garbage(&link, step::WELCOME)),
    };
    let longest = longest(&recipe, &cost, deadline);
    let deadline = patience(&recipe, deadline);
    link.set_deadline(deadline);
    let session = session([ours, theirs], &plan.hash(), model);
    let workshop = Workshop::open(Role::Client, recipe, &mut link, session, None, progress)?;
    let ours = (Arc::clone(plan), Arc::clone(weights));
    Ok(Making::start(link, workshop, ours, (cost, deadline, longest)))
}
