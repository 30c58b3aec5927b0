//! What an attacker with a pinned key says before it deviates.

use std::{sync::Arc, time::Duration};

use sotto::{
    card::Card,
    config::Source,
    messages::{self, Assigned, ClientHello, Epoch, Reply, Request, ServerWelcome, Tag, step},
    refusal::Refusal,
};
use sotto_models::Private;
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::weights::{Weights, read_setup};

use crate::{error::Error, process::Process};

/// How long an attacker waits for an answer.
pub const WAIT: Duration = Duration::from_secs(10);

/// Dials a process.
///
/// # Errors
/// [`Error::Sotto`] when it takes no link.
pub fn connect(from: &Endpoint, name: &str, to: &Process) -> Result<QuicLink, Error> {
    let mut link = from.connect(to.address, name, WAIT)?;
    link.set_deadline(WAIT);
    Ok(link)
}

/// What a client learns from a greeting.
pub struct Greeted {
    /// The traced model.
    pub private: Private,
    /// The masked weights.
    pub weights: Arc<Weights>,
    /// Hash of the plan.
    pub plan: [u8; 32],
    /// The epoch.
    pub epoch: Epoch,
}

/// Greets the server as a client does, and takes the masked weights.
///
/// # Errors
/// [`Error::Scene`] when it refuses.
pub fn greet(link: &mut QuicLink) -> Result<Greeted, Error> {
    let hello = ClientHello::new(Source::Dealer);
    messages::send(link, step::HELLO, &hello)?;
    let (card, plan, epoch, setup): (Card, _, _, _) = match messages::welcome(link, drop)? {
        ServerWelcome::Card { card, plan, epoch, setup, .. } => (card, plan, epoch, setup),
        ServerWelcome::Refused(why) => return Err(Error::scene(why)),
        ServerWelcome::Making(_) => return Err(Error::scene("there is a dealer")),
        ServerWelcome::Waiting { dealer } => return Err(Error::scene(format!("no {dealer}"))),
    };
    let private = card.trace(None)?;
    let message = messages::recv_bytes(link, step::SETUP, setup as usize, &|_, _| Ok(()))?;
    let weights = Arc::new(read_setup(&private.plan, message, link.peer())?);
    Ok(Greeted { private, weights, plan, epoch })
}

/// A batch that is ready at the server.
pub struct Prepared {
    /// The batches that the server assigned, this one first.
    pub assigned: Vec<Assigned>,
    /// Its number.
    pub id: u64,
    /// Its tag.
    pub tag: Tag,
}

/// Asks for a batch, and for `ahead` more.
///
/// # Errors
/// [`Error::Sotto`] when the link fails; a refusal is an answer.
pub fn prepare(link: &mut QuicLink, ahead: u32) -> Result<Result<Prepared, Refusal>, Error> {
    messages::send(link, step::REQUEST, &Request::Prepare { held: None, ahead })?;
    let mut assigned = Vec::new();
    loop {
        match messages::recv(link, step::REPLY)? {
            Reply::Assigned(one) => assigned.push(one),
            Reply::Waiting { .. } | Reply::Paced { .. } => {}
            Reply::Ready { id, tag, ahead, .. } => {
                // A first one that failed to come was replaced.
                assigned.retain(|one| one.id == id);
                assigned.extend(ahead);
                return Ok(Ok(Prepared { assigned, id, tag }));
            }
            Reply::Refused(why) => return Ok(Err(why)),
            Reply::Making { .. }
            | Reply::Waking { .. }
            | Reply::Woken { .. }
            | Reply::Length { .. } => {
                return Err(Error::scene("there is a dealer"));
            }
        }
    }
}
