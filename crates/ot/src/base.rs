//! Base transfers: endemic OT from Diffie-Hellman in Ristretto, one message each way, sent at once.
//!
//! The one who offers sends `B = b G`. The one who chooses sends two points for each transfer, of which the one at its bit
//! is `r_c = a G - H(r_(1-c))` with `r_(1-c)` random. The key of side `j` is the hash of `b (r_j + H(r_(1-j)))`, which at `j = c` is
//! `a B`. Neither message tells anything of the bit: both points are uniform.
//!
//! Cost: 64 bytes a transfer and 32; three to five multiplications of a point a transfer, about 0.1 ms. Each party's message may
//! leave before the other's is there.
//! Security: CDH in Ristretto255, `H` and the key's hash as random oracles (BLAKE3, one context each, session and number
//! within). Points that are not canonical and the identity are refused. Source: Masny, Rindal: Endemic Oblivious
//! Transfer, CCS 2019, with the Diffie-Hellman key agreement of their section 5; `B` is common to all
//! transfers of a session, whose numbers the hashes take in.

use curve25519_dalek::{
    RistrettoPoint, Scalar, ristretto::CompressedRistretto, traits::IsIdentity,
};
use sotto_crypto::{Seed, Stream};
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    Block,
    error::{Error, check_length},
    spread,
};

/// Bytes of an encoded point.
const POINT: usize = 32;
const CHOICES: &str = "base transfer, the chooser's points";
const OFFER: &str = "base transfer, the offered point";

/// Bytes of the chooser's message for `count` transfers.
pub const fn choices_bytes(count: usize) -> usize {
    2 * POINT * count
}

/// Bytes of the other's message.
pub const OFFER_BYTES: usize = POINT;

/// Who has two keys of each transfer. No `Debug`: it is secret.
pub struct Offer {
    session: [u8; 32],
    secret: Scalar,
    point: CompressedRistretto,
    count: usize,
}

/// Who has the key at its bit. No `Debug`: it is secret.
pub struct Chooser {
    session: [u8; 32],
    /// A scalar and a bit for each transfer.
    secrets: Vec<(Scalar, Choice)>,
    points: Vec<[CompressedRistretto; 2]>,
}

impl Offer {
    /// Offers `count` transfers. `session` is common to both parties and to no other transfers; all that is secret follows
    /// from `seed`, which is for this alone. Returns the message, too.
    pub fn new(session: [u8; 32], seed: &Seed, count: usize) -> (Self, Vec<u8>) {
        let secret = scalar(&mut seed.stream(0));
        let point = RistrettoPoint::mul_base(&secret).compress();
        let message = point.as_bytes().to_vec();
        (Self { session, secret, point, count }, message)
    }

    /// Both keys of every transfer, from the chooser's message.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Point`] when the message is not one.
    pub fn keys(self, message: &[u8]) -> Result<Vec<[Block; 2]>, Error> {
        check_length(CHOICES, message.len(), choices_bytes(self.count))?;
        let (encoded, _) = message.as_chunks::<POINT>();
        let (pairs, _) = encoded.as_chunks::<2>();
        // A vector that grows would leave keys in the buffers that it had before.
        let mut all = Zeroizing::new(Vec::with_capacity(self.count));
        for (i, pair) in pairs.iter().enumerate() {
            let points = [point(CHOICES, 2 * i, &pair[0])?, point(CHOICES, 2 * i + 1, &pair[1])?];
            let mut keys = [0; 2];
            for (j, key) in keys.iter_mut().enumerate() {
                let full = points[j] + self::point_of(&self.session, i, 1 - j, &pair[1 - j]);
                // Only a chooser who breaks the hash could bring this about.
                if full.is_identity() {
                    return Err(Error::Point { what: CHOICES, index: 2 * i + j });
                }
                *key = key_of(&self.session, i, j, pair, &self.point, &(full * self.secret));
            }
            all.push(keys);
        }
        Ok(std::mem::take(&mut *all))
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Drop for Chooser {
    fn drop(&mut self) {
        self.secrets.iter_mut().for_each(|(secret, _)| secret.zeroize());
    }
}

impl Chooser {
    /// Chooses by the bits of `choices`, one a transfer (only the lowest counts). `session` and `seed` as [`Offer::new`] has
    /// them; the seed is another. Returns the message, too.
    pub fn new(session: [u8; 32], seed: &Seed, choices: &[u8]) -> (Self, Vec<u8>) {
        let mut stream = seed.stream(0);
        let mut message = Vec::with_capacity(choices_bytes(choices.len()));
        let mut secrets = Vec::with_capacity(choices.len());
        let mut all = Vec::with_capacity(choices.len());
        for (i, &bit) in choices.iter().enumerate() {
            let choice = Choice::from(bit & 1);
            let secret = scalar(&mut stream);
            let mut uniform = [0; 64];
            stream.fill(&mut uniform);
            let other = RistrettoPoint::from_uniform_bytes(&uniform);
            let other_bytes = other.compress();
            // The hash of the other point, which is number 1 - c: both numbers, then one of them.
            let hash = RistrettoPoint::conditional_select(
                &point_of(&session, i, 1, other_bytes.as_bytes()),
                &point_of(&session, i, 0, other_bytes.as_bytes()),
                choice,
            );
            let chosen = RistrettoPoint::mul_base(&secret) - hash;
            let points = [
                RistrettoPoint::conditional_select(&chosen, &other, choice).compress(),
                RistrettoPoint::conditional_select(&other, &chosen, choice).compress(),
            ];
            points.iter().for_each(|p| message.extend_from_slice(p.as_bytes()));
            secrets.push((secret, choice));
            all.push(points);
        }
        (Self { session, secrets, points: all }, message)
    }

    /// The key at the chosen bit of every transfer, from the offer.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Point`] when the message is none.
    pub fn keys(self, message: &[u8]) -> Result<Vec<Block>, Error> {
        check_length(OFFER, message.len(), OFFER_BYTES)?;
        let bytes: [u8; POINT] = message.try_into().expect("the length was checked");
        let offered = point(OFFER, 0, &bytes)?;
        let encoded = CompressedRistretto(bytes);
        let all = self.secrets.iter().zip(&self.points).enumerate();
        let keys = all.map(|(i, ((secret, choice), points))| {
            let pair = points.map(|p| p.to_bytes());
            let shared = offered * secret;
            let both = [0, 1].map(|j| key_of(&self.session, i, j, &pair, &encoded, &shared));
            both[0] ^ (both[0] ^ both[1]) & spread(u64::from(choice.unwrap_u8()))
        });
        Ok(keys.collect())
    }
}

fn scalar(stream: &mut Stream) -> Scalar {
    let mut wide = [0; 64];
    stream.fill(&mut wide);
    let scalar = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    scalar
}

fn point(what: &'static str, index: usize, bytes: &[u8; POINT]) -> Result<RistrettoPoint, Error> {
    let point = CompressedRistretto(*bytes).decompress().filter(|p| !p.is_identity());
    point.ok_or(Error::Point { what, index })
}

/// `H`: the point that hides the side `j` of transfer `i`, of its encoding.
fn point_of(session: &[u8; 32], i: usize, j: usize, encoded: &[u8; POINT]) -> RistrettoPoint {
    let mut hasher = blake3::Hasher::new_derive_key("sottovoce base transfer point 1");
    hasher.update(session).update(&(i as u64).to_le_bytes()).update(&[j as u8]).update(encoded);
    let mut uniform = [0; 64];
    hasher.finalize_xof().fill(&mut uniform);
    RistrettoPoint::from_uniform_bytes(&uniform)
}

/// The key of side `j` of transfer `i`.
fn key_of(
    session: &[u8; 32],
    i: usize,
    j: usize,
    pair: &[[u8; POINT]; 2],
    offered: &CompressedRistretto,
    shared: &RistrettoPoint,
) -> Block {
    let mut hasher = blake3::Hasher::new_derive_key("sottovoce base transfer key 1");
    hasher.update(session).update(&(i as u64).to_le_bytes()).update(&[j as u8]);
    hasher.update(pair.as_flattened()).update(offered.as_bytes());
    hasher.update(shared.compress().as_bytes());
    let hash = hasher.finalize();
    hasher.zeroize();
    Block::from_le_bytes(std::array::from_fn(|i| hash.as_bytes()[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: [u8; 32] = [3; 32];

    fn seeds() -> [Seed; 2] {
        [1, 2].map(|b| Seed::from_bytes([b; 32]))
    }

    fn bits(count: usize) -> Vec<u8> {
        (0..count).map(|i| (i * i / 3 % 2) as u8).collect()
    }

    #[test]
    fn the_chooser_has_the_key_at_its_bit_and_not_the_other() {
        let [a, b] = seeds();
        let (offer, offered) = Offer::new(SESSION, &a, 20);
        let (chooser, chosen) = Chooser::new(SESSION, &b, &bits(20));
        assert_eq!((offered.len(), chosen.len()), (OFFER_BYTES, choices_bytes(20)));
        let pairs = offer.keys(&chosen).expect("the chooser's");
        assert_eq!((pairs.capacity(), chooser.secrets.capacity()), (20, 20), "nothing has grown");
        let keys = chooser.keys(&offered).expect("the offer");
        for ((pair, key), bit) in pairs.iter().zip(&keys).zip(bits(20)) {
            assert_eq!(pair[usize::from(bit)], *key);
            assert_ne!(pair[usize::from(1 - bit)], *key);
        }
        let mut all: Vec<Block> = pairs.into_iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 40, "no two keys are alike");
    }

    #[test]
    fn fixed_seeds_give_known_keys() {
        let [a, b] = seeds();
        let (offer, offered) = Offer::new(SESSION, &a, 2);
        let (chooser, chosen) = Chooser::new(SESSION, &b, &[0, 1]);
        let messages = blake3::hash(&[&offered[..], &chosen[..]].concat()).to_hex();
        let pairs = offer.keys(&chosen).expect("the chooser's");
        assert_eq!(chooser.keys(&offered), Ok(vec![pairs[0][0], pairs[1][1]]));
        assert_eq!(messages[..16], *"6b6b1b753ed5bfe1");
        assert_eq!(
            format!("{:032x} {:032x}", pairs[0][0], pairs[1][0]),
            "b4ed920d6bc9636cecc04ce9b7894b9e cf90f275b774a5d0b769cf5c4dae2c95"
        );
    }

    #[test]
    fn another_session_gives_other_keys() {
        let [a, b] = seeds();
        let (offer, offered) = Offer::new([4; 32], &a, 1);
        let (chooser, chosen) = Chooser::new(SESSION, &b, &[1]);
        let pairs = offer.keys(&chosen).expect("points");
        let keys = chooser.keys(&offered).expect("a point");
        assert!(!pairs[0].contains(&keys[0]));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let [a, b] = seeds();
        let offer = || Offer::new(SESSION, &a, 2).0;
        let chooser = || Chooser::new(SESSION, &b, &[0, 1]).0;
        let chosen = Chooser::new(SESSION, &b, &[0, 1]).1;
        let length = |found| Error::Length { what: CHOICES, found, due: 128 };
        assert_eq!(offer().keys(&chosen[1..]).err(), Some(length(127)));
        assert_eq!(offer().keys(&[]).err(), Some(length(0)));
        let at = |index| Some(Error::Point { what: CHOICES, index });
        // The identity; a field element that is not reduced; one that is negative; a point off the group.
        let negative = [1; 32];
        for bad in [[0; 32], [0xff; 32], negative] {
            for index in 0..4 {
                let mut message = chosen.clone();
                message[32 * index..32 * (index + 1)].copy_from_slice(&bad);
                assert_eq!(offer().keys(&message).err(), at(index));
            }
            let offered = Some(Error::Point { what: OFFER, index: 0 });
            assert_eq!(chooser().keys(&bad).err(), offered);
        }
        let short = Some(Error::Length { what: OFFER, found: 31, due: 32 });
        assert_eq!(chooser().keys(&[7; 31]).err(), short);
    }
}
