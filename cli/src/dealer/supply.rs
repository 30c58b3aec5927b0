//! What a party is given over one link: batches, or its part of one.

use std::sync::{Arc, Mutex, MutexGuard, atomic::Ordering};

use sotto_net::{Link, QuicLink};
use sotto_protocols::{
    Role,
    deal::{Seeds, deal},
};

use super::{
    Dealer,
    ledger::{Ledger, Names},
    models::Registered,
};
use crate::{
    card::of,
    error::Error,
    messages::{self, AHEAD, Ask, CHUNK, Dealt, Secret, Ticket, step},
    refusal::Refusal,
};

/// What one link may ask for.
pub(super) struct Supply {
    pub(super) role: Role,
    /// Whose batches they are.
    pub(super) server: String,
    pub(super) model: Arc<Registered>,
    pub(super) corrected: Role,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    /// Of the server's own: it has the model.
    pub(super) _held: Option<Arc<()>>,
}

impl Supply {
    /// Answers until the party leaves or we do.
    pub(super) fn serve(&self, link: &mut QuicLink, dealer: &Dealer) -> Result<(), Error> {
        let (stop, metrics) = (&dealer.stop, &dealer.metrics);
        let name = link.name().to_owned();
        loop {
            let ask = match messages::recv(link, step::REQUEST) {
                Ok(ask) => ask,
                // A party that needs nothing is silent for as long as it likes.
                Err(Error::Net(sotto_net::Error::Deadline { .. })) if !self.is_over() => continue,
                Err(Error::Net(sotto_net::Error::Deadline { .. })) => return Ok(link.finish()?),
                Err(e) => return Err(e),
            };
            if self.is_over() {
                messages::send(link, step::REPLY, &Dealt::Refused(Refusal::Stale))?;
                return Ok(link.finish()?);
            }
            let Some(_working) = stop.begin() else { return Ok(link.finish()?) };
            let dealt = match (ask, self.role) {
                (Ask::New { pad }, Role::Server) => self.open(pad.as_ref()),
                (Ask::Seed { id, pad }, Role::Server) => {
                    let seed = self.lock().give_server(id, &self.model.epoch);
                    seed.map(|seed| (Dealt::Seed(Secret(seed).under(&pad)), None))
                }
                (Ask::Audit { id }, Role::Server) => {
                    let seeds = self.lock().audit(id, &self.model.epoch);
                    seeds.map(|all| (Dealt::Audit(all.map(Secret)), None))
                }
                (Ask::Claim { id, ticket, pad }, Role::Client) => self.claim(id, &ticket, &pad),
                _ => Err(Refusal::NotYourRole(self.role.peer().name().into())),
            };
            match dealt {
                Ok((header, seeds)) => {
                    messages::send(link, step::REPLY, &header)?;
                    if let Some(seeds) = seeds {
                        self.correct(link, &seeds)?;
                    }
                    if let Dealt::Batch { id, corrections, .. } = header {
                        let of = of(&self.server, &self.model.hash, Some(&self.model.epoch));
                        tracing::info!("batch {id}, {of}, dealt to {name}");
                        metrics.dealt(&name, corrections);
                    }
                }
                Err(why) => {
                    metrics.refused(&name);
                    messages::send(link, step::REPLY, &Dealt::Refused(why))?;
                }
            }
            if stop.asked() {
                // All of it must have arrived before the link is closed.
                return Ok(link.finish()?);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.model.over.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A new batch for the server.
    fn open(&self, pad: Option<&Secret>) -> Result<(Dealt, Option<Seeds>), Refusal> {
        let epoch = &self.model.epoch;
        let mut ledger = self.lock();
        let names = ledger.open(*epoch);
        let seeds = ledger.seeds(names.id, epoch, self.corrected)?;
        let seed = pad.map(|pad| Ok(Secret(ledger.give_server(names.id, epoch)?).under(pad)));
        let seed = seed.transpose()?;
        Ok((self.header(names, seed), self.is_corrected().then_some(seeds)))
    }

    /// A client's part of a batch.
    fn claim(
        &self,
        id: u64,
        ticket: &Ticket,
        pad: &Secret,
    ) -> Result<(Dealt, Option<Seeds>), Refusal> {
        let epoch = &self.model.epoch;
        let mut ledger = self.lock();
        let seeds = ledger.seeds(id, epoch, self.corrected)?;
        let (seed, names) = ledger.give_client(id, epoch, ticket)?;
        Ok((
            self.header(names, Some(Secret(seed).under(pad))),
            self.is_corrected().then_some(seeds),
        ))
    }

    fn is_corrected(&self) -> bool {
        self.role == self.corrected
    }

    fn header(&self, names: Names, seed: Option<Secret>) -> Dealt {
        let corrections = match self.is_corrected() {
            true => self.model.plan.correction_bytes() as u64,
            false => 0,
        };
        let Names { id, ticket, tag, fingerprints } = names;
        let peer = fingerprints[self.role.peer().index()];
        Dealt::Batch { id, ticket, tag, peer, seed, corrections }
    }

    /// Deals and sends the corrections, no faster than the party takes them.
    fn correct(&self, link: &mut QuicLink, seeds: &Seeds) -> Result<(), Error> {
        let mut piece = Vec::with_capacity(CHUNK);
        deal(&self.model.plan, seeds, &self.model.setup, |bytes| -> Result<(), Error> {
            let mut rest = &bytes[..];
            while piece.len() + rest.len() >= CHUNK {
                let (head, tail) = rest.split_at(CHUNK - piece.len());
                piece.extend_from_slice(head);
                let full = std::mem::replace(&mut piece, Vec::with_capacity(CHUNK));
                link.room(AHEAD)?;
                link.send(step::CORRECTIONS, full)?;
                rest = tail;
            }
            piece.extend_from_slice(rest);
            Ok(())
        })?;
        if !piece.is_empty() {
            link.send(step::CORRECTIONS, piece)?;
        }
        Ok(())
    }
}
