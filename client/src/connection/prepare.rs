//! Getting a batch ready on both sides, before the first opening.

use std::time::{Duration, Instant};

use sotto_net::{Link, QuicLink};

use super::{Connection, Supply, claims::Ready, wake::wake};
use sotto_session::{
    error::Error,
    longest,
    messages::{self, Assigned, Reply, Request, Tag, step},
    refusal::Refusal,
    waiting::Waiting,
};

/// Batches that a server may assign for one evaluation, each in the place of the one before.
const MOST: usize = 4;

/// Longest that a server lets a client wait for its rate.
const PACED: Duration = Duration::from_secs(60);

/// What it says of that is told no more often.
const TOLD: Duration = Duration::from_millis(900);

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
        let of = self.of();
        let (link, deadline) = (&mut self.link, self.deadline);
        let bytes = self.known.lane.private.plan.cost().offline_bytes;
        // A server may wait for its rate, and for each batch that it assigns; whatever it says of that meanwhile, it ends.
        let longest = 2 * PACED + longest::carried(bytes, deadline) * MOST as u32;
        let within = (deadline, longest);
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
                let theirs = match until_ready(link, within, (0, 0), &mut |_| false) {
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
                    return Err(another_deal(link, id, &of));
                }
                return Ok((ready, bytes));
            },
        };
        let more = ahead.saturating_sub(claims.count().saturating_sub(1));
        ask(link, claims.first(), more as u32)?;
        let waiting = Waiting::until("the server to have correlated randomness from the dealer");
        let mut here = 0;
        let (theirs, more) = until_ready(link, within, (bytes, more), &mut |assigned| {
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
                Error::Check(format!("{peer} says that batch {id}, {of}, is ours; it is not"))
            })?;
            // Before the first opening: two different deals would give a wrong class and tell more than masks hide.
            match ready.id == theirs.id {
                true if ready.tag == theirs.tag => {
                    let bytes = theirs.bytes.saturating_add(ready.bytes);
                    return Ok((ready, bytes));
                }
                true => return Err(another_deal(link, theirs.id, &of)),
                // One that the server has burnt.
                false => {}
            }
        }
    }
}

fn ask(link: &mut QuicLink, held: Option<u64>, ahead: u32) -> Result<(), Error> {
    messages::send(link, step::REQUEST, &Request::Prepare { held, ahead })
}

fn another_deal(link: &QuicLink, id: u64, of: &str) -> Error {
    let peer = link.peer();
    let why =
        format!("{peer} holds another deal of batch {id}, {of}, than this client: it is burnt");
    Error::Check(why)
}

/// Waits until the server has a batch ready, for `longest` in all and for `bytes` of corrections; `assigned` takes or refuses those
/// that it assigns meanwhile. At most `more` come with the last answer.
fn until_ready(
    link: &mut dyn Link,
    (deadline, longest): (Duration, Duration),
    most: (u64, usize),
    assigned: &mut dyn FnMut(Assigned) -> bool,
) -> Result<(Theirs, Vec<Assigned>), Error> {
    link.set_longest(Some(longest));
    let ready = answered(link, (deadline, longest), most, assigned);
    link.set_longest(None);
    ready
}

/// What the server says in the end.
fn answered(
    link: &mut dyn Link,
    (deadline, longest): (Duration, Duration),
    (bytes, more): (u64, usize),
    assigned: &mut dyn FnMut(Assigned) -> bool,
) -> Result<(Theirs, Vec<Assigned>), Error> {
    let (mut last, mut moved, mut paced, mut told) = ((0, 0), Instant::now(), 0, None);
    let start = moved;
    loop {
        let waited = start.elapsed();
        if waited > longest {
            let peer = link.peer().to_owned();
            return Err(sotto_net::Error::Deadline { peer, step: step::REPLY, waited }.into());
        }
        match messages::recv(link, step::REPLY)? {
            Reply::Assigned(batch) => {
                if !assigned(batch) {
                    return Err(messages::unasked(link, step::REPLY));
                }
            }
            Reply::Waiting { got, all }
                if got <= all
                    && all <= bytes
                    && (last != (got, all) || moved.elapsed() < deadline) =>
            {
                tracing::debug!("{got} of {all} bytes of corrections");
                if last != (got, all) {
                    (last, moved) = ((got, all), Instant::now());
                }
            }
            // Once a second.
            Reply::Paced { left } if paced < 2 * PACED.as_secs() => {
                if told.is_none_or(|told: Instant| told.elapsed() >= TOLD) {
                    tracing::info!("the server's rate for this client: {left} s to wait");
                    told = Some(Instant::now());
                }
                paced += 1;
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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_server_that_says_without_end_that_it_waits_is_left() {
        let long = Duration::from_secs(60);
        let waits = |says: fn(u64) -> Reply, longest: Duration, bytes: u64, breath: u64| {
            let (mut server, mut client) = sotto_net::local_pair("server", "client");
            client.set_deadline(long);
            thread::scope(|scope| {
                scope.spawn(move || {
                    let mut said = 0;
                    while messages::send(&mut server, step::REPLY, &says(said)).is_ok() {
                        said += 1;
                        thread::sleep(Duration::from_millis(breath));
                    }
                });
                let start = Instant::now();
                let ready = until_ready(&mut client, (long, longest), (bytes, 0), &mut |_| false);
                drop(client);
                assert!(start.elapsed() < long / 2);
                match ready {
                    Ok(_) => panic!("nothing is ready"),
                    Err(Error::Net(e)) => e,
                    Err(e) => panic!("{e}"),
                }
            })
        };
        let counts = |got| Reply::Waiting { got, all: 1 << 40 };
        let ended = waits(counts, Duration::from_millis(300), 1 << 40, 20);
        assert!(matches!(ended, sotto_net::Error::Deadline { .. }), "{ended}");
        for says in [counts, |_| Reply::Paced { left: 1 }] {
            let ended = waits(says, long, 1 << 20, 0);
            assert!(matches!(ended, sotto_net::Error::Garbage { .. }), "{ended}");
        }
    }
}
