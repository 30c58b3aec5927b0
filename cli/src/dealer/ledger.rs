//! The dealer's numbers: which batches of a server exist, and what of them has been given.
//!
//! Single use hangs from this file. A number is used once in a dealer's life, whatever the model. Each part of a batch is
//! given once: the server's seed, the client's seed, the corrections. Who comes second with a copied folder, a
//! restored snapshot or the same key on another host gets [`Refusal::Burnt`].
//!
//! The client's part goes to whoever shows the batch's ticket: the server has it from here and hands it to the one
//! client to whom it assigns the batch.
//!
//! Seeds come from a ratchet: each batch's is split from the chain, which then moves on, and is forgotten once both
//! sides have theirs. Who breaks in later finds the batches that are open, none that were used.

use std::collections::BTreeMap;

use sotto_crypto::Seed;
use sotto_protocols::{
    Role,
    deal::Seeds,
    seeds::{Chain, Secrets, deal_tag},
};
use zeroize::Zeroizing;

use crate::{
    messages::{Epoch, OPEN, Tag, Ticket},
    refusal::Refusal,
};

/// A batch that not both sides have.
struct Slot {
    epoch: Epoch,
    seeds: [Seed; 2],
    names: Names,
    given: [bool; 2],
}

/// A batch's names, which tell nothing of its seeds.
#[derive(Clone)]
pub struct Names {
    /// Its number.
    pub id: u64,
    /// For the client that will claim it.
    pub ticket: Ticket,
    /// The deal's tag.
    pub tag: Tag,
    /// Fingerprints of the server's and the client's seed.
    pub fingerprints: [[u8; 32]; 2],
}

/// All batches of one server.
pub struct Ledger {
    server: String,
    chain: Chain,
    next: u64,
    open: BTreeMap<u64, Slot>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(server: &str, chain: Chain) -> Self {
        Self { server: server.to_owned(), chain, next: 0, open: BTreeMap::new() }
    }

    /// Opens the next batch, for `epoch`.
    pub fn open(&mut self, epoch: Epoch) -> Names {
        let id = self.next;
        self.next += 1;
        let Secrets { party: seeds, ticket } = self.chain.step();
        let fingerprints = seeds.each_ref().map(Seed::fingerprint);
        let tag = deal_tag(&self.server, &epoch, id, fingerprints.each_ref());
        let names = Names { id, ticket: Zeroizing::new(ticket), tag, fingerprints };
        let slot = Slot { epoch, seeds, names: names.clone(), given: [false; 2] };
        self.open.insert(id, slot);
        while self.open.len() > OPEN {
            self.open.pop_first();
        }
        names
    }

    /// Both seeds of an open batch, to deal its corrections.
    ///
    /// # Errors
    /// [`Refusal::Burnt`] for a batch of another epoch, or one that is over.
    pub fn seeds(&self, id: u64, epoch: &Epoch, corrected: Role) -> Result<Seeds, Refusal> {
        let slot = self.open.get(&id).filter(|slot| slot.epoch == *epoch);
        let slot = slot.ok_or(Refusal::Burnt(id))?;
        Ok(Seeds { party: slot.seeds.clone(), corrected })
    }

    /// Gives the server its seed, once.
    ///
    /// # Errors
    /// [`Refusal::Burnt`] when it was given, for another epoch, or when the batch is over.
    pub fn give_server(&mut self, id: u64, epoch: &Epoch) -> Result<Seed, Refusal> {
        self.give(id, epoch, Role::Server)
    }

    /// Gives the client who shows the ticket its seed, once, with the deal's tag.
    ///
    /// # Errors
    /// As [`Ledger::give_server`], and for a wrong ticket.
    pub fn give_client(
        &mut self,
        id: u64,
        epoch: &Epoch,
        ticket: &Ticket,
    ) -> Result<(Seed, Names), Refusal> {
        let slot = self.open.get(&id).ok_or(Refusal::Burnt(id))?;
        // In constant time: the ticket is a secret.
        let difference = slot.names.ticket.iter().zip(&**ticket).fold(0, |d, (a, b)| d | (a ^ b));
        let names = slot.names.clone();
        if difference != 0 {
            return Err(Refusal::Burnt(id));
        }
        Ok((self.give(id, epoch, Role::Client)?, names))
    }

    /// Both seeds of a batch whose client's part nobody has: it is burnt.
    ///
    /// # Errors
    /// [`Refusal::Burnt`] when the client's part was given: it may be in use.
    pub fn audit(&mut self, id: u64, epoch: &Epoch) -> Result<[Seed; 2], Refusal> {
        let slot = self.open.get(&id).filter(|slot| slot.epoch == *epoch);
        if slot.is_none_or(|slot| slot.given[Role::Client.index()]) {
            return Err(Refusal::Burnt(id));
        }
        self.open.remove(&id).map(|slot| slot.seeds).ok_or(Refusal::Burnt(id))
    }

    fn give(&mut self, id: u64, epoch: &Epoch, role: Role) -> Result<Seed, Refusal> {
        let slot = self.open.get_mut(&id).filter(|slot| slot.epoch == *epoch);
        let slot = slot.filter(|slot| !slot.given[role.index()]).ok_or(Refusal::Burnt(id))?;
        slot.given[role.index()] = true;
        let seed = slot.seeds[role.index()].clone();
        if slot.given == [true; 2] {
            self.open.remove(&id);
        }
        Ok(seed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const EPOCH: Epoch = [1; 16];

    fn ledger() -> Ledger {
        Ledger::new("server", Chain::new(&Seed::from_bytes([7; 32]), "server"))
    }

    #[test]
    fn each_part_is_given_once() {
        let mut ledger = ledger();
        let batch = ledger.open(EPOCH);
        let server = ledger.give_server(batch.id, &EPOCH).unwrap();
        assert_eq!(ledger.give_server(batch.id, &EPOCH), Err(Refusal::Burnt(0)));
        let (client, names) = ledger.give_client(batch.id, &EPOCH, &batch.ticket).unwrap();
        assert!(server != client && names.tag == batch.tag);
        let again = ledger.give_client(batch.id, &EPOCH, &batch.ticket);
        assert_eq!(again.err(), Some(Refusal::Burnt(0)));
        assert!(ledger.seeds(batch.id, &EPOCH, Role::Server).is_err(), "nothing of it is kept");
    }

    #[test]
    fn the_client_needs_the_ticket_and_both_need_the_epoch() {
        let mut ledger = ledger();
        let [batch, other] = [(); 2].map(|()| ledger.open(EPOCH));
        for ticket in [other.ticket.clone(), Zeroizing::new([0; 16])] {
            let refused = ledger.give_client(batch.id, &EPOCH, &ticket).err();
            assert_eq!(refused, Some(Refusal::Burnt(0)));
        }
        assert!(ledger.give_client(batch.id, &[2; 16], &batch.ticket).is_err());
        assert!(ledger.give_server(batch.id, &[2; 16]).is_err());
        assert!(ledger.give_client(batch.id, &EPOCH, &batch.ticket).is_ok());
        assert!(ledger.give_server(99, &EPOCH).is_err());
    }

    #[test]
    fn no_two_batches_have_a_seed_a_ticket_or_a_tag_in_common() {
        let mut seeds = HashSet::new();
        let mut tags = HashSet::new();
        let mut tickets = HashSet::new();
        let ledgers = [("server", [7; 32]), ("server", [8; 32]), ("other", [9; 32])];
        for (server, chain) in ledgers {
            let chain = Chain::new(&Seed::from_bytes(chain), server);
            let mut ledger = Ledger::new(server, chain);
            for i in 0..100 {
                // The models of a server share its numbers.
                let epoch = [i % 3; 16];
                let batch = ledger.open(epoch);
                assert_eq!(batch.id, u64::from(i));
                let both = ledger.seeds(batch.id, &epoch, Role::Server).unwrap();
                seeds.extend(both.party.iter().map(|s| *s.expose()));
                tags.insert(batch.tag);
                tickets.insert(*batch.ticket);
            }
        }
        assert_eq!((seeds.len(), tags.len(), tickets.len()), (600, 300, 300));
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_is_burnt() {
        let mut ledger = ledger();
        for _ in 0..OPEN + 10 {
            ledger.open(EPOCH);
        }
        assert_eq!(ledger.open.len(), OPEN);
        assert_eq!(ledger.give_server(9, &EPOCH), Err(Refusal::Burnt(9)));
        assert!(ledger.give_server(10, &EPOCH).is_ok());
    }

    #[test]
    fn what_is_audited_is_burnt_and_what_a_client_has_is_not_audited() {
        let mut ledger = ledger();
        let [audited, claimed] = [(); 2].map(|()| ledger.open(EPOCH));
        let seed = ledger.give_server(audited.id, &EPOCH).unwrap();
        assert!(ledger.audit(audited.id, &[2; 16]).is_err());
        let audited_id = audited.id;
        let [server, client] = match ledger.audit(audited_id, &EPOCH) {
            Ok(seeds) => seeds,
            Err(why) => panic!("{why}"),
        };
        assert!(server == seed && client.fingerprint() == audited.fingerprints[1]);
        assert!(ledger.give_client(audited_id, &EPOCH, &audited.ticket).is_err());
        assert!(ledger.give_client(claimed.id, &EPOCH, &claimed.ticket).is_ok());
        assert!(ledger.audit(claimed.id, &EPOCH).is_err());
    }
}
