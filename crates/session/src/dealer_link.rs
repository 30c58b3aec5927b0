//! A party's links to the dealer: the server's announcement, and batches of correlations.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sotto_crypto::Seed;
use sotto_models::{calibration::hex, length::Length};
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{Role, batch::Batch, plan::Plan, seeds::deal_tag};

use crate::{
    card::Card,
    config::Peer,
    error::Error,
    messages::{
        self, Ask, Assigned, DealerHello, DealerWelcome, Dealt, Epoch, Masks, Secret, Tag, Ticket,
        VERSION, step,
    },
    refusal::Refusal,
};

/// Where the dealer is, and what is asked of it.
#[derive(Clone)]
pub struct Dealer {
    /// Our endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The dealer.
    pub peer: Peer,
    /// Hash of the plan.
    pub plan: [u8; 32],
    /// How long it may be silent.
    pub deadline: Duration,
}

/// A batch's public names, and what it costs this party.
#[derive(Clone)]
pub struct Names {
    /// The dealer's number.
    pub id: u64,
    /// For the client to whom the server assigns it.
    pub ticket: Ticket,
    /// The deal's tag.
    pub tag: Tag,
    /// Fingerprint of the other party's seed.
    pub peer: [u8; 32],
    /// Bytes of corrections that follow.
    pub corrections: u64,
}

impl Names {
    /// Whether our seed and the other party's fingerprint make the tag, so that equal tags mean two sides of one deal.
    ///
    /// # Errors
    /// [`Error::Distrust`].
    pub fn check(&self, server: &str, epoch: &Epoch, role: Role, seed: &Seed) -> Result<(), Error> {
        let mut both = [self.peer; 2];
        both[role.index()] = seed.fingerprint();
        match deal_tag(server, epoch, self.id, both.each_ref()) == self.tag {
            true => Ok(()),
            false => Err(Error::Distrust(format!(
                "its tag of batch {}, of {server} (epoch {}), is not that of the two seeds",
                self.id,
                hex(&epoch[..4])
            ))),
        }
    }
}

fn refused(link: &QuicLink, why: Refusal) -> Error {
    Error::Refused { peer: link.peer().to_owned(), why }
}

fn garbage(link: &QuicLink, step: u32, why: &str) -> Error {
    Error::Net(sotto_net::Error::Garbage { peer: link.peer().to_owned(), step, why: why.into() })
}

impl Dealer {
    /// Connects and greets; what is left of the deadline is for the answer.
    fn greet(&self, hello: &DealerHello) -> Result<(QuicLink, DealerWelcome), Error> {
        let start = Instant::now();
        let to = self.peer.address()?;
        let mut link = self.endpoint.connect(to, &self.peer.name, self.deadline)?;
        let left = self.deadline.saturating_sub(start.elapsed()).max(self.deadline / 4);
        link.set_deadline(left);
        messages::send(&mut link, step::HELLO, hello)?;
        match messages::recv(&mut link, step::WELCOME)? {
            DealerWelcome::Refused(why) => Err(refused(&link, why)),
            welcome => Ok((link, welcome)),
        }
    }

    /// The server announces its model, for texts of a length; gives the dealer's epoch, and the name and the seed of the
    /// weights' masks.
    ///
    /// # Errors
    /// [`Error::Refused`] when the dealer does not take it, [`Error::Net`] when it cannot be reached.
    pub fn announce(
        &self,
        card: &Card,
        length: Option<Length>,
        commitment: [u8; 32],
    ) -> Result<(Epoch, Masks, Seed), Error> {
        let hello = DealerHello::Server {
            version: VERSION,
            card: card.clone(),
            length,
            plan: self.plan,
            commitment,
        };
        match self.greet(&hello)? {
            (mut link, DealerWelcome::Setup { epoch, masks, seed }) => {
                drop(link.finish());
                Ok((epoch, masks, seed.0))
            }
            (link, _) => Err(garbage(&link, step::WELCOME, "it answered another question")),
        }
    }

    /// Opens a link for batches: of our own model, or as a client of the model of `server`.
    ///
    /// # Errors
    /// As [`Dealer::announce`].
    pub fn batches(&self, server: Option<&str>, epoch: Epoch) -> Result<Batches, Error> {
        let hello = DealerHello::Batches {
            version: VERSION,
            server: server.map(str::to_owned),
            plan: self.plan,
            epoch,
        };
        match self.greet(&hello)? {
            (link, DealerWelcome::Ready) => Ok(Batches { link, deadline: self.deadline }),
            (link, _) => Err(garbage(&link, step::WELCOME, "it answered another question")),
        }
    }
}

/// A link on which the dealer gives batches.
pub struct Batches {
    link: QuicLink,
    deadline: Duration,
}

/// A party's part of a batch as it came. No `Debug`: it is secret.
pub struct Part {
    /// Its public names.
    pub names: Names,
    /// The party's seed, where it was asked for.
    pub seed: Option<Seed>,
    /// Corrections, at the party that receives them.
    pub corrections: Option<Vec<u8>>,
}

impl Batches {
    /// Asks for a part; its corrections are still to come.
    fn header(&mut self, ask: &Ask, pad: Option<&Secret>, plan: &Plan) -> Result<Part, Error> {
        let link = &mut self.link;
        // An answer without corrections is quick; half of the time is left to find the dealer again.
        link.set_deadline(self.deadline / 2);
        messages::send(link, step::REQUEST, ask)?;
        let (names, seed) = match messages::recv(link, step::REPLY)? {
            Dealt::Batch { id, ticket, tag, peer, seed, corrections } => {
                (Names { id, ticket, tag, peer, corrections }, seed)
            }
            Dealt::Refused(why) => return Err(refused(link, why)),
            _ => return Err(garbage(link, step::REPLY, "an answer to another question")),
        };
        let due = plan.correction_bytes() as u64;
        if names.corrections != 0 && names.corrections != due {
            let why = format!("{} bytes of corrections, the plan says {due}", names.corrections);
            return Err(garbage(link, step::REPLY, &why));
        }
        let seed = match (seed, pad) {
            (Some(seed), Some(pad)) => Some(seed.under(pad).0),
            (None, None) => None,
            _ => return Err(garbage(link, step::REPLY, "a seed, or none, against the question")),
        };
        Ok(Part { names, seed, corrections: None })
    }

    fn corrections(
        &mut self,
        count: u64,
        progress: &messages::Progress<'_>,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.link.set_deadline(self.deadline);
        match count {
            0 => Ok(None),
            n => messages::recv_bytes(&mut self.link, step::CORRECTIONS, n as usize, progress)
                .map(Some),
        }
    }

    /// The server's next batch, with its seed or for a disk without. `announce` learns its names before its
    /// corrections are here, `progress` how many bytes of them are; either's error ends it.
    ///
    /// # Errors
    /// [`Error::Net`] when the dealer fails or breaks the rules, [`Error::Refused`] when it will not.
    pub fn next(
        &mut self,
        plan: &Plan,
        with_seed: bool,
        announce: &mut dyn FnMut(&Names) -> Result<(), Error>,
        progress: &messages::Progress<'_>,
    ) -> Result<Part, Error> {
        let pad = if with_seed { Some(Secret::random()?) } else { None };
        let part = self.header(&Ask::New { pad: pad.clone() }, pad.as_ref(), plan)?;
        announce(&part.names)?;
        let corrections = self.corrections(part.names.corrections, progress)?;
        Ok(Part { corrections, ..part })
    }

    /// The server's seed of a batch that waited on a disk.
    ///
    /// # Errors
    /// As [`Batches::next`]; [`Refusal::Burnt`] where it was given before.
    pub fn seed(&mut self, id: u64) -> Result<Seed, Error> {
        let link = &mut self.link;
        link.set_deadline(self.deadline / 2);
        let pad = Secret::random()?;
        messages::send(link, step::REQUEST, &Ask::Seed { id, pad: pad.clone() })?;
        match messages::recv(link, step::REPLY)? {
            Dealt::Seed(seed) => Ok(seed.under(&pad).0),
            Dealt::Refused(why) => Err(refused(link, why)),
            _ => Err(garbage(link, step::REPLY, "an answer to another question")),
        }
    }

    /// Both seeds of a batch that is burnt by this, to see how it was dealt.
    ///
    /// # Errors
    /// As [`Batches::seed`].
    pub fn audit(&mut self, id: u64) -> Result<[Seed; 2], Error> {
        let link = &mut self.link;
        link.set_deadline(self.deadline / 2);
        messages::send(link, step::REQUEST, &Ask::Audit { id })?;
        match messages::recv(link, step::REPLY)? {
            Dealt::Audit(all) => Ok(all.map(|seed| seed.0)),
            Dealt::Refused(why) => Err(refused(link, why)),
            _ => Err(garbage(link, step::REPLY, "an answer to another question")),
        }
    }

    /// The client's part of a batch that the server assigned to it, with the deal's tag.
    ///
    /// # Errors
    /// As [`Batches::seed`].
    pub fn claim(&mut self, assigned: Assigned, plan: &Plan) -> Result<(Batch, Names), Error> {
        let Assigned { id, ticket } = assigned;
        let pad = Secret::random()?;
        let ask = Ask::Claim { id, ticket, pad: pad.clone() };
        let Part { names, seed, .. } = self.header(&ask, Some(&pad), plan)?;
        let (true, Some(seed)) = (names.id == id, seed) else {
            return Err(garbage(
                &self.link,
                step::REPLY,
                "another batch than the one that was claimed",
            ));
        };
        let corrections = self.corrections(names.corrections, &|_, _| Ok(()))?;
        Ok((Batch { id, seed, corrections }, names))
    }
}
