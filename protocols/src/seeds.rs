//! Where the dealer's seeds come from: pure functions of its master seed and of public names.
//!
//! Single use hangs from this file: two seeds are equal only if server, client, plan, epoch, batch number and party are
//! all equal. Every name is a field of its own behind its length, and the plan's hash is whole, so that nobody who
//! chooses names or plans can make two of them meet.

use sotto_crypto::{Seed, encode_fields};

use crate::spec::Role;

/// Seeds of one batch of correlations.
pub struct Seeds {
    /// The server's and the client's.
    pub party: [Seed; 2],
    /// Who receives corrections; the other side's share is all from its seed.
    pub corrected: Role,
}

/// A server and a client that evaluate a plan together, as the dealer tells pairs apart; all public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair<'a> {
    /// The server's name.
    pub server: &'a str,
    /// The client's name.
    pub client: &'a str,
    /// The whole [`crate::plan::Plan::hash`].
    pub plan: &'a [u8; 32],
    /// The [`epoch`] of the server's model.
    pub epoch: &'a [u8; 16],
}

impl<'a> Pair<'a> {
    fn fields(&self) -> [&'a [u8]; 4] {
        [self.server.as_bytes(), self.client.as_bytes(), self.plan, self.epoch]
    }
}

/// Both parties' seeds of batch `id` of a pair.
pub fn batch_seeds(master: &Seed, pair: &Pair<'_>, id: u64, corrected: Role) -> Seeds {
    let [server, client, plan, epoch] = pair.fields();
    let party = [Role::Server, Role::Client].map(|role| {
        let id = id.to_le_bytes();
        let fields = [server, client, plan, epoch, &id, role.name().as_bytes()];
        master.derive_fields("batch", &fields)
    });
    Seeds { party, corrected }
}

/// The seed of the masks of a server's weights: other weights, which `weights` commits to, never meet the same masks.
pub fn setup_seed(master: &Seed, server: &str, weights: &[u8], plan: &[u8; 32]) -> Seed {
    master.derive_fields("setup", &[server.as_bytes(), weights, plan])
}

/// The public name of a server's weights and plan under one master seed, which a restarted dealer does not have.
pub fn epoch(master: &Seed, server: &str, weights: &[u8], plan: &[u8; 32]) -> [u8; 16] {
    let named = master.derive_fields("epoch", &[server.as_bytes(), weights, plan]);
    first(named.expose())
}

/// The public tag of a deal, which the dealer gives to both parties: equal at both only if they hold the two sides
/// of one deal.
///
/// Security: who knows one seed learns nothing of the other. The tag is a hash over both seeds' fingerprints; the other
/// seed is 256 bits that are uniform to whoever lacks the dealer's master seed, so that each guess at it must be hashed,
/// and a tag of 128 bits would not even confirm one. Two deals have one tag with a chance of 2^-128; only the
/// dealer, which is trusted, could look for two (at 2^64 hashes).
pub fn deal_tag(pair: &Pair<'_>, id: u64, seeds: &Seeds) -> [u8; 16] {
    let [server, client, plan, epoch] = pair.fields();
    let [ours, theirs] = [&seeds.party[0], &seeds.party[1]].map(Seed::fingerprint);
    let fields: [&[u8]; 7] = [server, client, plan, epoch, &id.to_le_bytes(), &ours, &theirs];
    first(&blake3::derive_key("sottovoce deal tag 1", &encode_fields("deal tag", &fields)))
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
    fn no_two_batches_share_a_seed_or_a_tag() {
        let (mut seeds, mut tags, mut count) = (HashSet::new(), HashSet::new(), 0);
        // Names that would be equal if they were joined by spaces.
        let names = [("a", "b c"), ("a b", "c"), ("b c", "a"), ("a", "b"), ("", "ab"), ("ab", "")];
        for master in [[1; 32], [2; 32]].map(Seed::from_bytes) {
            for (server, client) in names {
                for plan in &plans() {
                    for epoch in [&[0; 16], &[1; 16]] {
                        let pair = Pair { server, client, plan, epoch };
                        for id in (0..20).chain([1 << 32, u64::MAX]) {
                            let dealt = batch_seeds(&master, &pair, id, Role::Server);
                            seeds.extend(dealt.party.iter().map(|s| *s.expose()));
                            tags.insert(deal_tag(&pair, id, &dealt));
                            count += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(seeds.len(), 2 * count, "seeds of {count} batches");
        assert_eq!(tags.len(), count);
    }

    #[test]
    fn who_is_corrected_changes_no_seed() {
        let pair = Pair { server: "s", client: "c", plan: &[3; 32], epoch: &[4; 16] };
        let master = Seed::from_bytes([1; 32]);
        let [a, b] = [Role::Server, Role::Client].map(|r| batch_seeds(&master, &pair, 5, r));
        assert!(a.party == b.party);
        assert_eq!(deal_tag(&pair, 5, &a), deal_tag(&pair, 5, &b));
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
    fn a_tag_depends_on_both_seeds() {
        let pair = Pair { server: "s", client: "c", plan: &[3; 32], epoch: &[4; 16] };
        let [a, b] = [1, 2].map(|byte| Seed::from_bytes([byte; 32]));
        let tag = |party: [&Seed; 2]| {
            let seeds = Seeds { party: party.map(Seed::clone), corrected: Role::Server };
            deal_tag(&pair, 0, &seeds)
        };
        let tags = [tag([&a, &b]), tag([&b, &a]), tag([&a, &a]), tag([&b, &b])];
        assert_eq!(HashSet::from(tags).len(), 4);
    }
}
