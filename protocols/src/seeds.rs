//! Where the dealer's seeds come from: fresh secrets and public names, no state but a chain.
//!
//! Single use hangs from this file. Batches of one server come from one chain, a step each, whatever the model: no two
//! have a seed in common. Setup seeds are equal only if server, matrices and plan are. Every name is a field of its own
//! behind its length, and the plan's hash is whole, so that nobody who chooses names or plans can make two of them meet.

use sotto_crypto::{Seed, encode_fields};

use crate::spec::Role;

/// Seeds of one batch of correlations.
pub struct Seeds {
    /// The server's and the client's.
    pub party: [Seed; 2],
    /// Who receives corrections; the other side's share is all from its seed.
    pub corrected: Role,
}

/// The ratchet from which a server's batches come. A step splits a batch's secrets off and moves on: who learns the
/// chain learns what it will give, nothing of what it gave.
pub struct Chain(Seed);

/// The secrets of one batch.
pub struct Secrets {
    /// The server's and the client's seed.
    pub party: [Seed; 2],
    /// What shows that the server assigned the batch.
    pub ticket: [u8; 16],
}

impl Chain {
    /// The chain of a server under a dealer's master seed, to be made once in its life.
    pub fn new(master: &Seed, server: &str) -> Self {
        Self(master.derive_fields("chain", &[server.as_bytes()]))
    }

    /// The next batch's secrets.
    pub fn step(&mut self) -> Secrets {
        let batch = self.0.derive("batch", 0);
        self.0 = self.0.derive("next", 0);
        Secrets {
            party: [Role::Server, Role::Client].map(|role| batch.derive(role.name(), 0)),
            ticket: first(batch.derive("ticket", 0).expose()),
        }
    }
}

/// The seed of the masks of a server's weights: other matrices, which `weights` commits to, never meet the same masks.
pub fn setup_seed(master: &Seed, server: &str, weights: &[u8], plan: &[u8; 32]) -> Seed {
    master.derive_fields("setup", &[server.as_bytes(), weights, plan])
}

/// The public name of a server's weights and plan under one master seed, which a restarted dealer does not have.
pub fn epoch(master: &Seed, server: &str, weights: &[u8], plan: &[u8; 32]) -> [u8; 16] {
    let named = master.derive_fields("epoch", &[server.as_bytes(), weights, plan]);
    first(named.expose())
}

/// The public tag of a deal, which the dealer gives to both parties with the fingerprint of the other's seed. A party
/// that computes it from its own seed and compares it with the other's knows that they hold the two sides of one deal.
///
/// Security: who knows one seed learns nothing of the other. A fingerprint is a hash of 256 bits that are uniform to
/// whoever lacks the dealer's secrets, and every seed is used for one batch. Two deals have one tag with a chance of 2^-128;
/// only the dealer could look for two (at 2^64 hashes).
pub fn deal_tag(server: &str, epoch: &[u8; 16], id: u64, fingerprints: [&[u8; 32]; 2]) -> [u8; 16] {
    let [ours, theirs] = fingerprints;
    let fields: [&[u8]; 5] = [server.as_bytes(), epoch, &id.to_le_bytes(), ours, theirs];
    first(&blake3::derive_key("sottovoce deal tag 2", &encode_fields("deal tag", &fields)))
}

fn first(bytes: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| bytes[i])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Hashes that differ in one bit: the last, or one after the 8 bytes that people are shown.
    fn plans() -> [[u8; 32]; 3] {
        [
            [7; 32],
            std::array::from_fn(|i| 7 ^ u8::from(i == 8)),
            std::array::from_fn(|i| 7 ^ u8::from(i == 31)),
        ]
    }

    #[test]
    fn no_two_batches_share_a_seed_or_a_ticket() {
        let (mut seeds, mut tickets, mut count) = (HashSet::new(), HashSet::new(), 0);
        for master in [[1; 32], [2; 32]].map(Seed::from_bytes) {
            for server in ["", "a", "b", "a b", "ab"] {
                let mut chain = Chain::new(&master, server);
                for _ in 0..200 {
                    let secrets = chain.step();
                    seeds.extend(secrets.party.iter().map(|s| *s.expose()));
                    tickets.insert(secrets.ticket);
                    count += 1;
                }
            }
        }
        assert_eq!((seeds.len(), tickets.len()), (2 * count, count));
    }

    #[test]
    fn a_chain_does_not_lead_back() {
        let mut chain = Chain::new(&Seed::from_bytes([1; 32]), "a");
        let past: Vec<_> = (0..50).map(|_| chain.step()).collect();
        let mut stolen = Chain(chain.0.clone());
        assert!(chain.step().party == stolen.step().party, "a thief has what comes");
        for _ in 0..200 {
            let later = stolen.step();
            assert!(past.iter().all(|p| p.ticket != later.ticket && p.party != later.party));
        }
    }

    #[test]
    fn setups_differ_by_every_name_and_show_nothing_in_their_epochs() {
        let master = Seed::from_bytes([1; 32]);
        let (mut seeds, mut epochs, mut count) = (HashSet::new(), HashSet::new(), 0);
        for server in ["a", "a b", ""] {
            for weights in ["b w", "w", ""] {
                for plan in &plans() {
                    let seed = setup_seed(&master, server, weights.as_bytes(), plan);
                    let epoch = epoch(&master, server, weights.as_bytes(), plan);
                    assert_ne!(seed.expose()[..16], epoch);
                    seeds.insert(*seed.expose());
                    epochs.insert(epoch);
                    count += 1;
                }
            }
        }
        assert_eq!((seeds.len(), epochs.len()), (count, count));
    }

    #[test]
    fn a_tag_depends_on_everything() {
        let [a, b] = [1, 2].map(|byte| Seed::from_bytes([byte; 32]));
        let mut tags = HashSet::new();
        for party in [[&a, &b], [&b, &a], [&a, &a], [&b, &b]] {
            for server in ["s", "s s"] {
                for (epoch, id) in [([0; 16], 0), ([0; 16], 1), ([1; 16], 0)] {
                    let [ours, theirs] = party.map(Seed::fingerprint);
                    tags.insert(deal_tag(server, &epoch, id, [&ours, &theirs]));
                }
            }
        }
        assert_eq!(tags.len(), 24);
    }
}
