//! What a client does before its first evaluation: trace the server's model and take the masked weights.

use sotto_models::Private;
use sotto_net::{Link, QuicLink};
use sotto_protocols::plan::Plan;

use crate::{
    card::{Card, short},
    error::Error,
    messages::{self, step},
};

/// Traces the card's plan, which must be the one that the server says.
pub(super) fn trace(card: &Card, theirs: [u8; 32], peer: &str) -> Result<Private, Error> {
    let unusable = |e: Error| Error::Card { peer: peer.into(), why: e.to_string() };
    let private = card.trace().map_err(unusable)?;
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
