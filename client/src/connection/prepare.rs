//! Getting a batch ready on both sides, before the first opening.

use std::time::{Duration, Instant};

use sotto_net::{Link, QuicLink};

use super::{Connection, Supply, claims::Ready, wake::wake};
use sotto_session::{
    error::Error,
    messages::{self, Assigned, Reply, Request, Tag, step},
    refusal::Refusal,
    waiting::Waiting,
};

/// Batches that a server may assign for one evaluation, each in the place of the one before.
const MOST: usize = 4;

/// Longest that a server lets a client wait for its rate.
const PACED: Duration = Duration::from_secs(60);

/// What the server says of a batch that it has ready.
struct Theirs {
    id: u64,
    tag: Tag,
    /// Received by the server from the dealer; without one, what crossed.
    bytes: u64,
}

impl Connection {
    /// Waits until both sides have a batch ready for the next evaluation.
    ///
    /// # Errors
    /// As [`Connection::answer`].
    pub fn wait_until_ready(&mut self) -> Result<(), Error> {
        let prepared = self.prepare()?;
        self.prepared = Some(prepared);
        Ok(())
    }

    /// Gets a batch ready; gives the client's part and the bytes of all offline messages.
    pub(super) fn prepare(&mut self) -> Result<(Ready, u64), Error> {
        // The server gives up what is not used, somewhat later than we do.
        let mut held = match self.prepared.take() {
            Some(prepared) if prepared.0.is_fresh() => return Ok(prepared),
            held => held,
        };
        self.left = self.left.saturating_sub(1);
        let ahead = self.pool.min(self.left);
        let (link, deadline) = (&mut self.link, self.deadline);
        let (mut burnt, lane) = (0, &self.known.lane);
        let claims = match &self.supply {
            Supply::Dealer(claims) => claims,
            Supply::Peer(making) => loop {
                let ready = match held.take() {
                    Some((ready, _)) => ready,
                    None => match (making.next(ahead)?, &making.pool) {
                        (Some(ready), _) => ready,
                        (None, Some(pool)) => {
                            let ours = (&*lane.private.plan, &*self.known.weights);
                            match wake(link, pool, ours, deadline)? {
                                Some(ready) => ready,
                                None => continue,
                            }
                        }
                        (None, None) => continue,
                    },
                };
                let (id, bytes) = (ready.id, ready.bytes);
                ask(link, Some(id), 0)?;
                let theirs = match until_ready(link, deadline, 0, &mut |_| false) {
                    Ok((theirs, _)) => theirs,
                    // It was kept for too long, and gave way: the next one.
                    Err(Error::Refused { why: Refusal::Burnt(_), .. }) if burnt < MOST => {
                        burnt += 1;
                        continue;
                    }
                    Err(Error::Refused { why: why @ Refusal::Burnt(_), .. }) => {
                        let waited = deadline.as_secs();
                        let why = format!("the server keeps none of what is made with it: {why}");
                        let remedy = "see the server's log and its `memory`".into();
                        return Err(Error::Exhausted { waited, why, remedy });
                    }
                    Err(e) => return Err(e),
                };
                if (theirs.id, theirs.tag, theirs.bytes) != (id, ready.tag, bytes) {
                    return Err(another_deal(link, id));
                }
                return Ok((ready, bytes));
            },
        };
        let more = ahead.saturating_sub(claims.count().saturating_sub(1));
        ask(link, claims.first(), more as u32)?;
        let waiting = Waiting::until("the server to have correlated randomness from the dealer");
        let mut here = 0;
        let (theirs, more) = until_ready(link, deadline, more, &mut |assigned| {
            // A few may fail to come; more than that is not what was asked for. What we held before is burnt there.
            here += 1;
            if here <= MOST {
                claims.give_up();
                claims.add([assigned]);
            }
            here <= MOST
        })?;
        claims.add(more);
        drop(waiting);
        loop {
            let ready = claims.next(deadline)?.ok_or_else(|| {
                let (peer, id) = (link.peer(), theirs.id);
                Error::Check(format!("{peer} says that batch {id} is ours; it is not"))
            })?;
            // Before the first opening: two different deals would give a wrong class and tell more than masks hide.
            match ready.id == theirs.id {
                true if ready.tag == theirs.tag => {
                    let bytes = theirs.bytes.saturating_add(ready.bytes);
                    return Ok((ready, bytes));
                }
                true => return Err(another_deal(link, theirs.id)),
                // One that the server has burnt.
                false => {}
            }
        }
    }
}

fn ask(link: &mut QuicLink, held: Option<u64>, ahead: u32) -> Result<(), Error> {
    messages::send(link, step::REQUEST, &Request::Prepare { held, ahead })
}

fn another_deal(link: &QuicLink, id: u64) -> Error {
    let peer = link.peer();
    Error::Check(format!("{peer} holds another deal of batch {id} than this client: it is burnt"))
}

/// Waits until the server has a batch ready; `assigned` takes or refuses those that it assigns meanwhile. At most `more` come with
/// the last answer.
fn until_ready(
    link: &mut QuicLink,
    deadline: Duration,
    more: usize,
    assigned: &mut dyn FnMut(Assigned) -> bool,
) -> Result<(Theirs, Vec<Assigned>), Error> {
    let (mut last, mut moved) = ((0, 0), Instant::now());
    loop {
        match messages::recv(link, step::REPLY)? {
            Reply::Assigned(batch) => {
                if !assigned(batch) {
                    return Err(messages::unasked(link, step::REPLY));
                }
            }
            Reply::Waiting { got, all } if last != (got, all) || moved.elapsed() < deadline => {
                tracing::debug!("{got} of {all} bytes of corrections");
                if last != (got, all) {
                    (last, moved) = ((got, all), Instant::now());
                }
            }
            Reply::Paced { left } if moved.elapsed() < 2 * PACED => {
                tracing::info!("the server's rate for this client: {left} s to wait");
            }
            Reply::Ready { id, tag, offline_bytes, ahead } if ahead.len() <= more => {
                return Ok((Theirs { id, tag, bytes: offline_bytes }, ahead));
            }
            Reply::Refused(why) => {
                return Err(Error::Refused { peer: link.peer().to_owned(), why });
            }
            _ => return Err(messages::unasked(link, step::REPLY)),
        }
    }
}
