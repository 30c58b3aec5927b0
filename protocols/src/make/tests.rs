//! The blocks against integers, on both parties' shares; what they cost against the counts of each block; messages that are refused.

use sotto_crypto::Seed;
use sotto_ot::Extension;
use sotto_ring::mask;

use super::{MakeTurn, Maker, Transfers};
use crate::{
    dealing::{expand, stream_id},
    draw::Draw,
    error::Error,
    making::{Made as Cut, Making, Part, Recipe, Slot},
    spec::Role,
    testing::made::{make_both, transfers},
};

/// Elements of each test: whole bytes of bits.
const COUNT: usize = 64;

/// What a run gave.
struct Outcome {
    /// Both parties' numbers of each draw.
    own: Vec<[Vec<u64>; 2]>,
    /// Both parties' shares of each result.
    shares: Vec<[Vec<u64>; 2]>,
    recipe: Recipe,
}

impl Outcome {
    /// The sum of the parties' numbers of draw `i`, as an integer.
    fn number(&self, i: usize, at: usize) -> u64 {
        self.own[i][0][at] + self.own[i][1][at]
    }

    /// Result `i`, added mod `2^width`.
    fn sum(&self, i: usize, width: u32, at: usize) -> u64 {
        self.shares[i][0][at].wrapping_add(self.shares[i][1][at]) & mask(width)
    }

    /// Result `i`, of bits.
    fn bit(&self, i: usize, at: usize) -> u64 {
        self.shares[i][0][at] ^ self.shares[i][1][at]
    }

    /// Bits an element in both directions, COTs an element, levels: without what sets choices.
    fn cost(&self) -> (usize, usize, usize) {
        let levels = 0..self.recipe.depth();
        let roles = [Role::Server, Role::Client];
        let bytes: usize =
            levels.flat_map(|l| roles.map(|from| self.recipe.level_bytes(l, from))).sum();
        let cots: usize = roles.map(|r| self.recipe.cots(r)).iter().sum();
        let flies = |l: &usize| roles.iter().any(|r| self.recipe.message_bytes(*l, *r) > 0);
        ((8 * bytes) / COUNT, cots / COUNT, (0..self.recipe.depth()).filter(flies).count())
    }
}

fn draw(width: u32) -> Draw {
    Draw::Mask { count: COUNT, width }
}

fn seeds(salt: u8) -> [Seed; 2] {
    [1, 2].map(|b| Seed::from_bytes([b; 32]).derive("test", salt.into()))
}

const EXTENSIONS: [Extension; 2] = [Extension::SOFTSPOKEN, Extension::Ferret];

fn recipe(
    extension: Extension,
    draws: &[Draw],
    build: impl FnOnce(&mut Making<'_>) -> Vec<Slot>,
) -> Recipe {
    let (mut recipe, mut cut) = (Recipe::new(extension), Cut::default());
    let mut making = Making::new(&mut recipe, &mut cut, (0, draws, 0), Vec::new());
    let results = build(&mut making);
    results.into_iter().for_each(|slot| making.rounded(slot, 64));
    recipe.finish();
    recipe
}

/// Both parties walk what `build` writes.
fn run(draws: &[Draw], salt: u8, build: impl FnOnce(&mut Making<'_>) -> Vec<Slot>) -> Outcome {
    let recipe = recipe(EXTENSIONS[0], draws, build);
    let seeds = seeds(salt);
    let [mut at_server, mut at_client] = transfers(&seeds[0], recipe.extension).expect("points");
    let makers = [
        Maker::new(&recipe, Role::Server, &seeds[0], &mut at_server),
        Maker::new(&recipe, Role::Client, &seeds[1], &mut at_client),
    ];
    let (made, _) = make_both(makers).expect("one recipe");
    let traffic = recipe.traffic();
    assert!(made.iter().all(|m| m.traffic == traffic), "measured and planned");
    let own = draws.iter().enumerate().map(|(i, draw)| {
        let Draw::Mask { count, width } = *draw else { panic!("masks alone") };
        seeds.each_ref().map(|seed| expand(seed, stream_id(0, i), count, width))
    });
    let own = own.collect();
    let [server, client] = made.map(|m| m.rounded.into_iter().map(|(_, _, words)| words));
    let shares = server.zip(client).map(|(s, c)| [s, c]).collect();
    Outcome { own, shares, recipe }
}

/// Bits as words, to be looked at.
fn words(making: &mut Making<'_>, bits: Slot) -> Slot {
    let count = making.count(bits);
    making.local(&[bits], count, |_, x| {
        Part::Words(x.bits(0).iter().map(|&b| u64::from(b)).collect())
    })
}

#[test]
fn ands_carries_and_bits_of_sums() {
    for n in [1, 2, 7, 19, 33] {
        let outcome = run(&[draw(n)], n as u8, |making| {
            let r = making.mask(0);
            let mut all: Vec<Slot> = (0..n).map(|i| making.sum_bit(r, i)).collect();
            all.push(making.carry(r, n));
            all.into_iter().map(|bits| words(making, bits)).collect()
        });
        for at in 0..COUNT {
            let sum = outcome.number(0, at);
            (0..=n).for_each(|i| assert_eq!(outcome.bit(i as usize, at), sum >> i & 1, "{n} {i}"));
        }
        // A flight for the first triples.
        let n = n as usize;
        assert_eq!(outcome.cost(), (4 * n, 2 * n, n + 1));
    }
}

#[test]
fn unit_vectors_and_their_signs() {
    for k in [1, 2, 3, 5, 6, 7, 9] {
        // Each party's word has XOR shares of the place.
        let outcome = run(&[draw(k)], k as u8, |making| {
            let r = making.mask(0);
            let bits: Vec<Slot> = (0..k).map(|i| making.own_bit(r, i)).collect();
            let e = making.one_hot(&bits);
            let (sign, sigma) = making.sign(e, 1 << k);
            vec![e, sign, words(making, sigma)]
        });
        let row = (1usize << k).div_ceil(64);
        for at in 0..COUNT {
            let place = (outcome.own[0][0][at] ^ outcome.own[0][1][at]) as usize;
            let bit = |party: usize, j: usize| {
                outcome.shares[0][party][at * row + j / 64] >> (j % 64) & 1
            };
            for j in 0..1 << k {
                assert_eq!(bit(0, j) ^ bit(1, j), u64::from(j == place), "2^{k}, {j} of {place}");
            }
            let sign = bit(0, place).wrapping_sub(bit(1, place));
            assert_eq!(outcome.sum(1, 64, at), sign);
            assert_eq!(outcome.bit(2, at), u64::from(sign != 1));
        }
        let k = k as usize;
        let bits = 2 * ((1 << k) - 2);
        assert_eq!(outcome.cost(), (bits, 2 * (k - 1), if k > 1 { k } else { 0 }), "2^{k}");
    }
}

#[test]
fn products_with_bits_and_wider_rings() {
    for w in [1, 2, 13, 44, 64] {
        let outcome = run(&[draw(1), draw(w)], w as u8, |making| {
            let (b, t) = (making.mask_bits(0), making.mask(1));
            vec![making.mux(b, t, w)]
        });
        let bit = |o: &Outcome, at: usize| o.own[0][0][at] ^ o.own[0][1][at];
        let word = |o: &Outcome, at: usize| o.own[1][0][at].wrapping_add(o.own[1][1][at]);
        for at in 0..COUNT {
            let product = (bit(&outcome, at) * word(&outcome, at)) & mask(w);
            assert_eq!(outcome.sum(0, w, at), product, "{w}");
        }
        assert_eq!(outcome.cost(), (2 * w as usize, 2, 2));

        let outcome = run(&[draw(1), draw(w)], w as u8, |making| {
            let (b, t) = (making.mask_bits(0), making.mask(1));
            let sign = making.times_sign(b, t, w);
            vec![sign, making.arithmetic(b, w)]
        });
        for at in 0..COUNT {
            let (b, t) = (bit(&outcome, at), word(&outcome, at));
            let signed = if b == 1 { t.wrapping_neg() } else { t };
            assert_eq!(outcome.sum(0, w, at), signed & mask(w), "{w}");
            assert_eq!(outcome.sum(1, w, at), b, "{w}");
        }
        let w = w as usize;
        let cots = if w > 1 { 2 } else { 0 };
        assert_eq!(outcome.cost(), (2 * (w - 1) + w - 1, cots, cots));
    }
}

#[test]
fn products_of_private_numbers() {
    for (n, w) in [(1, 8), (9, 23), (19, 53), (13, 7), (20, 64)] {
        let outcome = run(&[draw(n), draw(w)], n as u8, |making| {
            let (x, y) = (making.mask(0), making.mask(1));
            let server = making.private_times(x, n, Role::Server, y, w);
            vec![server, making.cross_times(x, n, y, w), making.mask_times(x, n, y, w)]
        });
        for at in 0..COUNT {
            let [x, y] = [0, 1].map(|i| outcome.own[i].each_ref().map(|own| own[at]));
            let both = x[0].wrapping_add(x[1]).wrapping_mul(y[0].wrapping_add(y[1]));
            let masked = (x[0].wrapping_add(x[1]) & mask(n)).wrapping_mul(y[0].wrapping_add(y[1]));
            let expected = [x[0].wrapping_mul(y[1]), both, masked];
            for (i, e) in expected.into_iter().enumerate() {
                assert_eq!(outcome.sum(i, w, at), e & mask(w), "{n} bits, ring of {w}, {i}");
            }
        }
        let one = run(&[draw(n), draw(w)], n as u8, |making| {
            let (x, y) = (making.mask(0), making.mask(1));
            vec![making.private_times(x, n, Role::Client, y, w)]
        });
        let bits: u32 = (0..n.min(w)).map(|i| w - i).sum();
        assert_eq!(one.cost(), (bits as usize, n.min(w) as usize, 2));
    }
}

#[test]
fn shares_of_small_values_in_wider_rings() {
    for (from, w) in [(2, 9), (14, 33), (23, 44), (30, 64)] {
        // Each party halves its number twice, so that the sum's top bit is 0.
        let outcome = run(&[draw(from), draw(w)], from as u8, |making| {
            let (z, y) = (making.mask(0), making.mask(1));
            let mixed = making.map(z, move |role, z| {
                let offset = if role == Role::Server { 0x2f3 } else { 0x2f3u64.wrapping_neg() };
                (z >> 2).wrapping_add(offset) & mask(from)
            });
            let wide = making.widen(mixed, from, w);
            vec![mixed, wide, making.wrap_times(mixed, from, y, w), y]
        });
        for at in 0..COUNT {
            let value = outcome.sum(0, from, at);
            assert_eq!(outcome.sum(1, w, at), value, "{from} {w}");
            let raw = outcome.shares[0][0][at] + outcome.shares[0][1][at];
            let wrapped = ((raw >> from) * outcome.sum(3, 64, at)) & mask(w);
            assert_eq!(outcome.sum(2, w, at), wrapped, "{from} {w}");
        }
        let one = run(&[draw(from)], from as u8, |making| {
            let z = making.mask(0);
            vec![making.widen(z, from, w)]
        });
        assert_eq!(one.cost(), ((w - from) as usize, 1, 2));
    }
}

/// A recipe that takes several levels, and both parties' COTs.
fn pair(extension: Extension) -> (Recipe, [Transfers; 2]) {
    let recipe = recipe(extension, &[draw(6)], |making| {
        let r = making.mask(0);
        let carry = making.carry(r, 6);
        vec![making.mux(carry, r, 20)]
    });
    let transfers = transfers(&seeds(7)[0], extension).expect("points");
    (recipe, transfers)
}

/// The message of a turn.
fn message(maker: &mut Maker<'_>) -> Vec<u8> {
    match maker.turn() {
        MakeTurn::Exchange { send, .. } => send,
        MakeTurn::Done(_) => panic!("it is not over"),
    }
}

#[test]
fn what_is_not_due_is_refused() {
    EXTENSIONS.into_iter().for_each(refuses);
}

fn refuses(extension: Extension) {
    let (recipe, [mut at_server, mut at_client]) = pair(extension);
    let [seed, other] = seeds(7);
    let mut server = Maker::new(&recipe, Role::Server, &seed, &mut at_server);
    let mut client = Maker::new(&recipe, Role::Client, &other, &mut at_client);
    let desync = |r: Result<(), Error>| matches!(r, Err(Error::Desync { .. }));
    assert!(desync(server.receive(&[1])), "before its turn");
    let (to_client, to_server) = (message(&mut server), message(&mut client));
    for len in [0, to_server.len() - 1, to_server.len() + 1] {
        assert!(desync(server.receive(&vec![0; len])), "{len} bytes");
    }
    let mut elsewhere = to_server.clone();
    elsewhere[0] ^= 1;
    assert!(desync(server.receive(&elsewhere)), "an extension of another place");
    server.receive(&to_server).expect("what is due");
    assert!(desync(server.receive(&to_server)), "twice");
    client.receive(&to_client).expect("what is due");
    let later = message(&mut client);
    message(&mut server);
    assert!(desync(server.receive(&to_server)), "the first message again");
    server.receive(&later).expect("what is due");
}

#[test]
fn transfers_that_parted_ways_do_not_meet_again() {
    EXTENSIONS.into_iter().for_each(part);
}

fn part(extension: Extension) {
    let (recipe, [mut at_server, mut at_client]) = pair(extension);
    let [seed, other] = seeds(7);
    // A batch whose first message never arrived.
    message(&mut Maker::new(&recipe, Role::Client, &other, &mut at_client));
    let mut server = Maker::new(&recipe, Role::Server, &seed, &mut at_server);
    let mut client = Maker::new(&recipe, Role::Client, &other, &mut at_client);
    message(&mut server);
    let late = message(&mut client);
    assert!(matches!(server.receive(&late), Err(Error::Desync { .. })));
}

#[test]
#[should_panic(expected = "is due")]
fn a_turn_before_the_peer_s_message_is_a_fault() {
    let (recipe, [mut at_server, _]) = pair(Extension::Ferret);
    let mut server = Maker::new(&recipe, Role::Server, &seeds(7)[0], &mut at_server);
    message(&mut server);
    server.turn();
}

/// Chi-square of bytes against uniform ones, as a normal deviate.
fn deviation(bytes: &[u8]) -> f64 {
    let mut counts = [0.0; 256];
    bytes.iter().for_each(|b| counts[usize::from(*b)] += 1.0);
    let expected = bytes.len() as f64 / 256.0;
    let chi: f64 = counts.iter().map(|c| (c - expected) * (c - expected) / expected).sum();
    (chi - 255.0) / (2.0f64 * 255.0).sqrt()
}

/// Every kind of step, with secrets that are anything but uniform: all messages of both parties are.
#[test]
fn what_crosses_is_uniform_whatever_the_secrets() {
    for (secret, extension) in [0, u64::MAX].into_iter().zip(EXTENSIONS).chain([(0, EXTENSIONS[1])])
    {
        let recipe = recipe(extension, &[draw(16), draw(16)], |making| {
            let x = making.mask(0);
            let x = making.map(x, move |_, _| secret & mask(16));
            let bits: Vec<Slot> = (0..4).map(|i| making.sum_bit(x, i)).collect();
            let hot = making.one_hot(&bits);
            let top = making.top_bit(x, 16);
            let mixed = making.cross_times(x, 16, x, 32);
            let wide = making.widen(x, 17, 49);
            let muxed = making.mux(top, x, 40);
            vec![hot, mixed, wide, muxed]
        });
        let mut sent: [Vec<Vec<u8>>; 2] = Default::default();
        for salt in 0..40 {
            let seeds = seeds(100 + salt);
            let [mut at_server, mut at_client] =
                transfers(&seeds[0], recipe.extension).expect("points");
            let (_, messages) = make_both([
                Maker::new(&recipe, Role::Server, &seeds[0], &mut at_server),
                Maker::new(&recipe, Role::Client, &seeds[1], &mut at_client),
            ])
            .expect("one recipe");
            for (level, both) in messages.into_iter().enumerate() {
                for ((role, all), message) in
                    [Role::Server, Role::Client].into_iter().zip(&mut sent).zip(both)
                {
                    // An extension and an iteration say their places, which are public.
                    let iterations = recipe.iterations(level, role.peer());
                    let extensions = usize::from(recipe.level_cots(level, role) > 0);
                    assert!(iterations + extensions < 2, "one place at the beginning");
                    let header = 8 * (iterations + extensions);
                    all.resize(all.len().max(level + 1), Vec::new());
                    all[level].extend_from_slice(&message[header.min(message.len())..]);
                }
            }
        }
        for (party, levels) in sent.iter().enumerate() {
            for (level, bytes) in levels.iter().enumerate().filter(|(_, b)| b.len() > 5 * 256) {
                let z = deviation(bytes);
                assert!(
                    z.abs() < 8.0,
                    "party {party}, level {level}: {z} over {} bytes",
                    bytes.len()
                );
            }
        }
    }
}
