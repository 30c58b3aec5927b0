//! Batches that wait on both disks: woken over the link that uses them.

use std::{
    thread,
    time::{Duration, Instant},
};

use sotto_net::{Link, QuicLink};
use sotto_protocols::{Role, plan::Plan, weights::Weights};
use sotto_session::{
    error::Error,
    messages::{self, Reply, Request, Secret, Tag, step},
    refusal::Refusal,
};

use super::{claims::Ready, making::Pool};

/// Pause before the server is asked again whether it has a place.
const PAUSE: Duration = Duration::from_millis(200);

/// The next one, staged; `None` where none is left. What the server no longer has, or what cannot be opened, is burnt.
///
/// # Errors
/// The link's; [`Error::Refused`]; [`Error::Io`] where a key cannot be taken off the disk.
pub(super) fn wake(
    link: &mut QuicLink,
    pool: &Pool,
    (plan, weights): (&Plan, &Weights),
    deadline: Duration,
) -> Result<Option<Ready>, Error> {
    while let Some(tag) = pool.shelf.first(&pool.of.peer) {
        // From here on it is used or burnt: the key is off the disk.
        let Some(taken) = pool.shelf.take(&pool.of.peer, &tag)? else { continue };
        match ask(link, &tag, &taken.key, deadline) {
            Ok((id, key)) => {
                let (traffic, batch) = (taken.record.traffic, taken.open(id, plan, &key));
                match batch {
                    Ok(batch) => {
                        let staged = batch.stage(plan, Role::Client, weights)?;
                        return Ok(Some(Ready::waited(id, staged, tag, &traffic)));
                    }
                    Err(e) => tracing::warn!("{e}"),
                }
            }
            Err(Error::Refused { why: Refusal::NotKept, .. }) => {
                tracing::warn!(
                    "{} has no part of a batch that waited here: it is burnt",
                    link.peer()
                );
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// Gives the server the key of its part; gives the batch's number and the key of ours.
fn ask(
    link: &mut QuicLink,
    tag: &Tag,
    key: &Secret,
    deadline: Duration,
) -> Result<(u64, Secret), Error> {
    let start = Instant::now();
    loop {
        let wake = Request::Wake { tag: *tag, key: key.clone() };
        messages::send(link, step::REQUEST, &wake)?;
        match messages::recv(link, step::REPLY)? {
            Reply::Woken { id, key } => return Ok((id, key)),
            Reply::Refused(Refusal::Busy(_)) if start.elapsed() < deadline => thread::sleep(PAUSE),
            Reply::Refused(why) => {
                return Err(Error::Refused { peer: link.peer().to_owned(), why });
            }
            _ => return Err(messages::unasked(link, step::REPLY)),
        }
    }
}
