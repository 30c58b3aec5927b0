//! Batches that wait on both disks: woken over the link that uses them.

use std::{
    thread,
    time::{Duration, Instant},
};

use sotto_net::{Link, QuicLink};
use sotto_protocols::{Role, plan::Plan, weights::Weights};
use sotto_session::{
    card::of,
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
/// The link's; [`Error::Refused`]; [`Error::Io`] where keys cannot be taken off the disk.
pub(super) fn wake(
    link: &mut QuicLink,
    pool: &Pool,
    (plan, weights): (&Plan, &Weights),
    deadline: Duration,
) -> Result<Option<Ready>, Error> {
    while let Some(tag) = pool.shelf.first_of(&pool.of) {
        let ready =
            find(link, &tag, deadline).and_then(|id| open(link, pool, (&tag, id), (plan, weights)));
        match ready {
            Ok(Some(ready)) => return Ok(Some(ready)),
            Ok(None) => {}
            Err(Error::Refused { why: Refusal::NotKept, .. }) => {
                pool.shelf.burn(&pool.of.peer, &tag)?;
                let peer = link.peer();
                tracing::warn!("{peer} has no part of a batch that waited here: it is burnt");
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// Asks whether the server has its part, and a place for it; gives the batch's number.
fn find(link: &mut QuicLink, tag: &Tag, deadline: Duration) -> Result<u64, Error> {
    let start = Instant::now();
    loop {
        messages::send(link, step::REQUEST, &Request::Wake { tag: *tag })?;
        match messages::recv(link, step::REPLY)? {
            Reply::Waking { id } => return Ok(id),
            Reply::Refused(Refusal::Busy(_)) if start.elapsed() < deadline => thread::sleep(PAUSE),
            other => return Err(no(link, other)),
        }
    }
}

/// Opens the batch at both parties; `None` where ours cannot be.
fn open(
    link: &mut QuicLink,
    pool: &Pool,
    (tag, id): (&Tag, u64),
    (plan, weights): (&Plan, &Weights),
) -> Result<Option<Ready>, Error> {
    // From here on it is used or burnt: its keys are off the disk.
    let Some(taken) = pool.shelf.take(&pool.of, tag)? else { return Ok(None) };
    let (key, traffic) = (taken.key.clone(), taken.record.traffic);
    messages::send(link, step::REQUEST, &Request::Open { key })?;
    let theirs: Secret = match messages::recv(link, step::REPLY)? {
        Reply::Woken { key } => key,
        other => return Err(no(link, other)),
    };
    match taken.open(id, plan, &theirs) {
        Ok(batch) => {
            let staged = batch.stage(plan, Role::Client, weights)?;
            let of = of(&pool.of.peer, &pool.of.plan, None);
            tracing::info!("batch {id}, {of}, waited on the disk");
            Ok(Some(Ready::waited(id, staged, *tag, &traffic)))
        }
        Err(e @ Error::Check(_)) => {
            tracing::warn!("{e}");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

fn no(link: &QuicLink, reply: Reply) -> Error {
    match reply {
        Reply::Refused(why) => Error::Refused { peer: link.peer().to_owned(), why },
        _ => messages::unasked(link, step::REPLY),
    }
}
