//! A connection to a client that is served: batches are got ready for it, charged, and evaluated.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sotto_net::{Link, QuicLink};
use sotto_protocols::{Role, party::Party};

use super::{
    Server,
    lanes::{Held, Supply},
    made::{self, Made},
    pool::{self, Holder, Waiting},
    session::Session,
    standing::Standing,
    usage::{self, Used},
};
use crate::{
    card::of,
    error::Error,
    longest,
    messages::{self, Reply, Request, Secret, Tag, step},
    metrics::Evaluated,
    refusal::Refusal,
};

/// What a second refusal in a row waits for, a third twice as long, up to ten times.
const BREATH: Duration = Duration::from_millis(100);

/// Whose batches a connection uses.
pub(super) enum Batches {
    Dealt(Arc<Session>),
    Made(Arc<Made>),
}

/// The place of a batch that is in use.
#[expect(dead_code, reason = "held until the evaluation is over")]
enum Place {
    Dealt(pool::Place),
    Made(made::Place),
}

/// A connection to a client, and what it holds.
pub(super) struct Served<'a> {
    server: &'a Server,
    lane: Held,
    batches: Batches,
    holder: Holder,
    standing: Arc<Standing>,
    name: String,
    /// The batch on the disk that is to be opened next, and its number.
    waking: Option<(u64, Tag)>,
    /// The batch that was got ready last.
    prepared: Option<u64>,
    /// Whether something was evaluated.
    used: bool,
    /// Requests that were refused, one after the other.
    refused: u32,
}

impl<'a> Served<'a> {
    /// Nothing is got ready yet.
    pub(super) fn new(
        server: &'a Server,
        (lane, batches): (Held, Batches),
        (holder, standing): (Holder, Arc<Standing>),
    ) -> Self {
        let (name, waking, prepared) = (holder.name.to_string(), None, None);
        let (used, refused) = (false, 0);
        Self { server, lane, batches, holder, standing, name, waking, prepared, used, refused }
    }

    /// Answers until the client leaves or the server is asked to stop.
    pub(super) fn serve(mut self, link: &mut QuicLink) -> Result<(), Error> {
        let server = self.server;
        let stop = &server.stop;
        loop {
            let request = self.standing.asked(|| messages::recv(link, step::REQUEST));
            match request {
                Ok(Request::Prepare { .. }) if stop.asked() => return Ok(link.finish()?),
                Ok(Request::Prepare { held, ahead }) => {
                    if let Err(why) = self.prepare(link, held, ahead)? {
                        self.reply(link, Err(why))?;
                        if let Batches::Dealt(session) = &self.batches
                            && session.pool.is_stale()
                        {
                            return Ok(link.finish()?);
                        }
                    }
                }
                Ok(Request::Infer { id, tag }) => {
                    let Some(_working) = stop.begin() else { return Ok(link.finish()?) };
                    let done = self.infer(link, id, tag);
                    self.refused = 0;
                    self.used = true;
                    if done.is_err() {
                        self.server.usage.unused(&self.name, 1);
                    }
                    done?;
                    if stop.asked() {
                        // The result must have arrived before the link is closed.
                        return Ok(link.finish()?);
                    }
                }
                Ok(Request::Wake { .. }) if stop.asked() => return Ok(link.finish()?),
                Ok(Request::Wake { tag }) => {
                    let woken = self.wake(tag).map(|id| Reply::Waking { id });
                    self.reply(link, woken)?;
                }
                Ok(Request::Open { key }) => self.open(link, &key)?,
                Ok(Request::Make { .. } | Request::Length { .. }) => {
                    let why = Refusal::NotYourRole("client on a link for making".into());
                    messages::send(link, step::REPLY, &Reply::Refused(why))?;
                    return Ok(link.finish()?);
                }
                Ok(Request::Bye) => {
                    // Others may have what it held, before it hears of the end: it may have gone before it could say that it has
                    // everything, and is waited for.
                    drop(self);
                    drop(link.finish());
                    return Ok(());
                }
                // An idle client is welcome to stay, what it holds is not.
                Err(Error::Net(sotto_net::Error::Deadline { .. })) if !self.lane.is_over() => {
                    self.settle();
                }
                // But where it would keep a model that was replaced.
                Err(Error::Net(sotto_net::Error::Deadline { .. })) => return Ok(link.finish()?),
                Err(e) => return Err(e),
            }
        }
    }

    /// Finds a batch that waits on both disks.
    fn wake(&mut self, tag: Tag) -> Result<u64, Refusal> {
        let Supply::Peer(workplace) = &self.lane.supply else { return Err(Refusal::NotKept) };
        // What was found before and not opened has held a place for nothing.
        if let Some((before, _)) = self.waking.take_if(|(_, found)| *found != tag) {
            workplace.made.burn(before);
        }
        let id = workplace.wake(&self.name, self.holder.link, &tag)?;
        self.waking = Some((id, tag));
        Ok(id)
    }

    /// Opens the one that was found.
    fn open(&mut self, link: &mut QuicLink, key: &Secret) -> Result<(), Error> {
        let (Some((id, tag)), Supply::Peer(workplace)) = (self.waking.take(), &self.lane.supply)
        else {
            return self.reply(link, Err(Refusal::NotKept));
        };
        let Some(taken) = workplace.take(&self.name, (id, &tag)) else {
            return self.reply(link, Err(Refusal::NotKept));
        };
        messages::send(link, step::REPLY, &Reply::Woken { key: taken.key.clone() })?;
        workplace.open_taken(&self.name, id, taken, key);
        Ok(())
    }

    /// Answers, refusals ever slower: each question costs work, and a line.
    fn reply(&mut self, link: &mut QuicLink, reply: Result<Reply, Refusal>) -> Result<(), Error> {
        let reply = reply.unwrap_or_else(|why| {
            self.server.metrics.refused(&self.name);
            tracing::warn!("{} is refused what it asks {}: {why}", link.peer(), self.of());
            thread::sleep(BREATH * self.refused.min(10));
            self.refused += 1;
            Reply::Refused(why)
        });
        messages::send(link, step::REPLY, &reply)
    }

    /// Gets a batch ready for the client, and tells it.
    fn prepare(
        &mut self,
        link: &mut QuicLink,
        held: Option<u64>,
        ahead: u32,
    ) -> Result<Result<(), Refusal>, Error> {
        self.settle();
        match self.server.usage.admit(&self.name, self.lane.model.tariff()) {
            Ok(wait) if wait <= usage::LONGEST => pause(link, wait)?,
            Ok(wait) => return Ok(Err(Refusal::Rate(wait.as_secs() + 1))),
            Err(why) => return Ok(Err(why)),
        }
        let patience = self.server.patience();
        let pool = match &self.batches {
            Batches::Dealt(session) => &session.pool,
            Batches::Made(made) => {
                // The client names what it made with us.
                let id = held.unwrap_or(u64::MAX);
                let (tag, offline_bytes) = match made.ready(&self.name, id, patience) {
                    Ok(ready) => ready,
                    Err(why) => return Ok(Err(why)),
                };
                self.prepared = Some(id);
                let ready = Reply::Ready { id, tag, offline_bytes, ahead: Vec::new() };
                messages::send(link, step::REPLY, &ready)?;
                return Ok(Ok(()));
            }
        };
        let mut ready = None;
        if let Some(id) = held {
            ready = pool.ready(&self.holder, id, patience, &mut wait(link))?.ok().map(|r| (id, r));
        }
        let (id, (tag, offline_bytes)) = loop {
            if let Some(ready) = ready {
                break ready;
            }
            let assigned = match pool.assign(&self.holder, patience, &mut wait(link))? {
                Ok(assigned) => assigned,
                Err(why) => return Ok(Err(why)),
            };
            let id = assigned.id;
            // The client fetches its part while ours is still coming.
            messages::send(link, step::REPLY, &Reply::Assigned(assigned))?;
            ready = match pool.ready(&self.holder, id, patience, &mut wait(link))? {
                Ok(ready) => Some((id, ready)),
                // It failed to come, or its file was damaged: the next one.
                Err(Refusal::Burnt(_)) => None,
                Err(why) => return Ok(Err(why)),
            };
        };
        let ahead = pool.assign_ahead(&self.holder, ahead as usize);
        self.prepared = Some(id);
        messages::send(link, step::REPLY, &Reply::Ready { id, tag, offline_bytes, ahead })?;
        Ok(Ok(()))
    }

    fn infer(&self, link: &mut QuicLink, id: u64, tag: Tag) -> Result<(), Error> {
        let refused = |why| Error::Refused { peer: format!("server to {}", self.name), why };
        // What was not got ready was not admitted.
        let taken = match (&self.batches, self.prepared == Some(id)) {
            (Batches::Dealt(session), true) => {
                let taken = session.pool.take(&self.holder, id);
                taken.map(|(ready, place)| (ready, Place::Dealt(place)))
            }
            (Batches::Made(made), true) => {
                let taken = made.take(&self.name, id);
                taken.map(|(ready, place)| (ready, Place::Made(place)))
            }
            _ => None,
        };
        let (ready, _place) = taken.ok_or_else(|| refused(Refusal::Burnt(id)))?;
        // Before the first opening: two different deals would give a wrong class and tell more than masks hide.
        if ready.tag != tag {
            return Err(Error::Check(format!(
                "{} holds another deal of batch {id}, {}, than this server",
                link.peer(),
                self.of()
            )));
        }
        let bits = self.lane.bits;
        let model = &self.lane.model;
        let used = self.server.usage.charge(&self.name, model.tariff(), bits)?;
        let plan = &self.lane.plan;
        let party = Party { role: Role::Server, plan, weights: &model.weights };
        let (_works, start) = (self.standing.works(), Instant::now());
        link.set_longest(Some(longest::evaluation(plan, self.server.deadline)));
        let done = party.evaluate(link, ready.staged, &[]);
        link.set_longest(None);
        let done = done.map_err(Error::online(plan))?;
        let seconds = start.elapsed().as_secs_f64();
        let inputs = model.card.batch as u64;
        let evaluated = Evaluated { inputs, bits, seconds };
        self.server.metrics.evaluated(&self.name, model.name(), &evaluated);
        let Used { images, bits } = used;
        let what = match self.lane.length {
            None => format!("{images} images"),
            Some(length) => format!("{images} texts, the last of {length} tokens"),
        };
        let bits = match &self.batches {
            Batches::Dealt(_) => format!("at most {bits} bits of the model in {what}"),
            // The bound is proven with an honest dealer.
            Batches::Made(_) => what,
        };
        let (of, flights) = (self.of(), done.traffic.flights);
        tracing::info!("{}: batch {id}, {of}, {bits}, {flights} flights", link.peer());
        Ok(())
    }

    /// What stands beside its batches' numbers in logs.
    fn of(&self) -> String {
        let epoch = match &self.batches {
            Batches::Dealt(session) => Some(&session.epoch),
            Batches::Made(_) => None,
        };
        of(self.lane.model.name(), &self.lane.hash, epoch)
    }

    /// Charges whoever left batches until they were too old, this client or another.
    fn settle(&self) {
        if let Supply::Peer(workplace) = &self.lane.supply {
            workplace.settle();
        }
        let Batches::Dealt(session) = &self.batches else { return };
        for (name, batches) in session.pool.left() {
            self.server.usage.unused(&name, batches);
        }
    }

    fn release(&self) {
        match &self.batches {
            Batches::Dealt(session) => {
                let unused = session.pool.release(&self.holder);
                self.server.usage.unused(&self.name, unused);
            }
            // Those that were woken over this link.
            Batches::Made(made) => made.release(self.holder.link),
        }
        self.settle();
        // A length costs a plan and its announcement: who asks for one uses it.
        if self.lane.length.is_some() && !self.used {
            self.server.usage.unused(&self.name, 1);
        }
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Lets a client wait for its rate, and tells it once a second.
fn pause(link: &mut QuicLink, wait: Duration) -> Result<(), Error> {
    let start = Instant::now();
    while let Some(left) = wait.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        thread::sleep(left.min(Duration::from_secs(1)));
        messages::send(link, step::REPLY, &Reply::Paced { left: left.as_secs() })?;
    }
    Ok(())
}

/// Tells the client that it waits for bytes that are coming.
fn wait(link: &mut QuicLink) -> Box<Waiting<'_>> {
    Box::new(|got, all| messages::send(link, step::REPLY, &Reply::Waiting { got, all }))
}
