//! What a client does before its first evaluation: trace the server's model, take the masked weights, start its
//! supply.

use std::{path::Path, sync::Arc};

use sotto_models::Private;
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{Role, plan::Plan, weights::Weights};

use crate::{
    card::{Card, short},
    config::{ClientConfig, Peer},
    error::Error,
    messages::{self, Epoch, step},
    peers,
    supply::{Supply, Terms},
};

/// Traces the card's plan, which must be the one that the server says.
pub(super) fn trace(card: &Card, theirs: [u8; 32], peer: &str) -> Result<Private, Error> {
    let private = card.trace()?;
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

/// Starts the client's supply.
pub(super) fn supply(
    config: &ClientConfig,
    base: &Path,
    endpoint: &Arc<Endpoint>,
    plan: &Arc<Plan>,
    plan_hash: [u8; 32],
    weights: &Arc<Weights>,
    epoch: Epoch,
) -> Supply {
    let terms = Terms {
        role: Role::Client,
        plan: Arc::clone(plan),
        weights: Arc::clone(weights),
        epoch,
        pool: config.pool,
        folder: config.pool_folder.as_ref().map(|f| base.join(f)),
    };
    let endpoint = Arc::clone(endpoint);
    let (dealer, server): (Peer, String) = (config.dealer.clone(), config.server.name.clone());
    // A dealer that fell silent is noticed while the evaluation that waits for it can still be saved.
    let patience = config.own.deadline() / 2;
    let connect = move || peers::batches(&endpoint, &dealer, &server, plan_hash, patience);
    Supply::start(terms, Box::new(connect))
}
