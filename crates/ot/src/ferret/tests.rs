use proptest::prelude::*;

use super::*;

const SESSION: [u8; 32] = [5; 32];

fn seeds() -> [Seed; 2] {
    [1, 2].map(|b| Seed::from_bytes([b; 32]))
}

/// Both parties of an instance.
fn pair() -> (Sender, Receiver) {
    let [sender, receiver] = seeds();
    let (beginning, begin) = Beginning::new(SESSION, &sender);
    assert_eq!(begin.len(), BEGIN_BYTES);
    let (receiver, answer) = Receiver::answer(SESSION, &receiver, &begin).expect("points");
    assert_eq!(answer.len(), ANSWER_BYTES);
    (beginning.finish(&answer).expect("an answer"), receiver)
}

/// Another iteration of both.
fn iterate(sender: &mut Sender, receiver: &mut Receiver) -> Vec<u8> {
    let mut message = Vec::new();
    sender.iterate(&mut message);
    assert_eq!(message.len(), ITERATION_BYTES);
    receiver.iterate(&message).expect("the next iteration");
    message
}

fn bits(count: usize, salt: u64) -> Vec<u8> {
    (0..count as u64)
        .map(|i| ((i ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & 1) as u8)
        .collect()
}

/// Extends and holds every COT against the definition.
fn extend(
    (sender, receiver): (&mut Sender, &mut Receiver),
    lengths: &[usize],
    salt: u64,
) -> (Vec<Sent>, Vec<Received>, Vec<u8>) {
    let mut message = Vec::new();
    let choices: Vec<_> = lengths.iter().map(|l| bits(*l, salt)).collect();
    let received = receiver.extend(choices.clone(), &mut message);
    assert_eq!(message.len(), extension_bytes(lengths.iter().sum()));
    let sent = sender.extend(lengths, &message).expect("the next message");
    assert_eq!((sent.len(), received.len()), (lengths.len(), lengths.len()));
    for ((sent, received), choices) in sent.iter().zip(&received).zip(&choices) {
        assert_eq!((sent.len(), received.choices()), (choices.len(), &choices[..]));
        for (i, (q, t)) in sent.blocks.iter().zip(&received.blocks).enumerate() {
            assert_eq!(*t, q ^ (sent.delta & received.chosen(i)), "COT {i} of {}", sent.len());
        }
    }
    (sent, received, message)
}

#[test]
fn cots_of_chosen_bits_come_of_one_iteration_after_the_other() {
    let (mut sender, mut receiver) = pair();
    iterate(&mut sender, &mut receiver);
    for count in [1, 0, 511, 513, 8000] {
        extend((&mut sender, &mut receiver), &[count], 3);
    }
    iterate(&mut sender, &mut receiver);
    // To the last one of the first iteration, and over the end of it.
    extend((&mut sender, &mut receiver), &[COTS - 9025 - 300], 4);
    iterate(&mut sender, &mut receiver);
    extend((&mut sender, &mut receiver), &[0, 100, 0, 200, 700], 5);
    extend((&mut sender, &mut receiver), &[COTS, COTS - 700], 6);
    assert_eq!((sender.stock.made(), iterations(3 * COTS)), (3 * COTS as u64, 3));
    iterate(&mut sender, &mut receiver);
    extend((&mut sender, &mut receiver), &[1], 7);
    assert_eq!([iterations(0), iterations(1), iterations(COTS + 1)], [0, 1, 2]);
}

#[test]
fn receivers_have_the_pad_of_their_choice_and_not_the_other() {
    let (mut sender, mut receiver) = pair();
    iterate(&mut sender, &mut receiver);
    let (mut sent, mut received, _) = extend((&mut sender, &mut receiver), &[1500, 2000], 3);
    let mut all = Vec::new();
    for (sent, received) in sent.iter_mut().zip(&mut received) {
        for _ in 0..2 {
            let mut pads = Vec::new();
            sent.pads(|_, zeros, ones| pads.extend(zeros.iter().zip(ones).map(|(z, o)| [*z, *o])));
            let mut own = Vec::new();
            received.pads(|_, part| own.extend_from_slice(part));
            assert_eq!((pads.len(), own.len()), (sent.len(), sent.len()));
            for (i, (pads, own)) in pads.iter().zip(&own).enumerate() {
                let choice = received.choice(i) as usize;
                assert_eq!(pads[choice], *own);
                assert_ne!(pads[1 - choice], *own);
            }
            all.extend(pads.concat());
        }
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((count, all.len()), (4 * 3500, count), "no two pads are alike");
}

#[test]
fn what_is_not_the_next_message_is_refused() {
    let (mut sender, mut receiver) = pair();
    let [mut first, mut second] = [Vec::new(), Vec::new()];
    sender.iterate(&mut first);
    sender.iterate(&mut second);
    let length = |what, found, due| Some(Error::Length { what, found, due });
    let order = |what, found, due| Some(Error::Order { what, found, due });
    let due = ITERATION_BYTES;
    assert_eq!(receiver.iterate(&second).err(), order(ITERATION, 1, 0), "one was left out");
    assert_eq!(receiver.iterate(&first[1..]).err(), length(ITERATION, due - 1, due));
    assert_eq!(receiver.iterate(&[]).err(), length(ITERATION, 0, due));
    assert_eq!(
        receiver.iterate(&[&first[..], &[0]].concat()).err(),
        length(ITERATION, due + 1, due)
    );
    assert_eq!(receiver.iterate(&first), Ok(()), "what was refused used nothing up");
    assert_eq!(receiver.iterate(&first).err(), order(ITERATION, 0, 1), "repeated");
    assert_eq!(receiver.iterate(&second), Ok(()));

    let [mut first, mut second] = [Vec::new(), Vec::new()];
    receiver.extend(vec![bits(200, 1)], &mut first);
    receiver.extend(vec![bits(200, 2)], &mut second);
    let mut refused = |lengths: &[usize], m: &[u8]| sender.extend(lengths, m).err();
    assert_eq!(refused(&[200], &second), order(EXTENSION, 200, 0), "one was left out");
    assert_eq!(refused(&[200], &first[1..]), length(EXTENSION, 32, 33));
    assert_eq!(refused(&[209], &first), length(EXTENSION, 33, 35));
    assert_eq!(refused(&[200], &[]), length(EXTENSION, 0, 33));
    assert_eq!(refused(&[150, 50], &first), None, "what was refused used nothing up");
    assert_eq!(refused(&[200], &first), order(EXTENSION, 0, 200), "repeated");
    assert_eq!(refused(&[200], &second), None);
}

#[test]
fn setups_of_another_length_or_without_points_are_refused() {
    let [sender, receiver] = seeds();
    let begin = || Beginning::new(SESSION, &sender);
    let message = begin().1;
    let answer = |m: &[u8]| Receiver::answer(SESSION, &receiver, m).map(|(_, answer)| answer);
    assert!(matches!(answer(&message[..8000]), Err(Error::Length { found: 8000, due: 8192, .. })));
    assert!(matches!(answer(&[0; BEGIN_BYTES]), Err(Error::Point { index: 0, .. })));
    let good = answer(&message).expect("the sender's");
    let refused = |answer: &[u8]| begin().0.finish(answer).err();
    for len in [0, 32, softspoken::ANSWER_BYTES, ANSWER_BYTES - 1] {
        let due = ANSWER_BYTES;
        assert_eq!(refused(&good[..len]), Some(Error::Length { what: ANSWER, found: len, due }));
    }
    let mut bad = good.clone();
    bad[..32].fill(0);
    assert!(matches!(refused(&bad), Some(Error::Point { index: 0, .. })));
    let mut bad = good;
    bad[softspoken::ANSWER_BYTES] = 1;
    assert!(matches!(refused(&bad), Some(Error::Order { found: 1, due: 0, .. })));
}

#[test]
#[should_panic(expected = "an iteration for each of its COTs")]
fn more_than_was_begun_is_a_fault() {
    let (_, mut receiver) = pair();
    receiver.extend(vec![vec![1]], &mut Vec::new());
}

#[test]
fn fixed_seeds_give_known_cots() {
    let (mut sender, mut receiver) = pair();
    let mut known = Vec::new();
    for salt in 0..2 {
        let iteration = iterate(&mut sender, &mut receiver);
        let (mut sent, _, message) =
            extend((&mut sender, &mut receiver), &[COTS - 1000, 1000], salt);
        let mut pads = [0, 0];
        sent[1].pads(|_, zeros, ones| {
            pads = [(pads[0], zeros), (pads[1], ones)]
                .map(|(sum, p)| p.iter().fold(sum, |s, x| s ^ x));
        });
        let hash = |message: &[u8]| blake3::hash(message).to_hex()[..16].to_owned();
        known.push(format!(
            "{} {} {:032x} {:032x}",
            hash(&iteration),
            hash(&message),
            pads[0],
            pads[1]
        ));
    }
    assert_eq!(
        known,
        [
            "449dfe9c960291cf 6d3be33f3f36742e dc9efb32199cbe3955a9beb280f4cda2 a60d33b0ddb30264f028bc4561b98523",
            "35f8e428883433da 86c11c8167010549 60e5f46daa7e2bc6364f8e913632145f 1eeca16e2f9827d22e35cdc9ed85cedb"
        ]
    );
}

/// Chi-square of bytes, 255 degrees of freedom, as a normal deviate.
fn deviate(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    bytes.iter().for_each(|b| counts[usize::from(*b)] += 1);
    let due = bytes.len() as f64 / 256.0;
    let chi: f64 = counts.iter().map(|c| (f64::from(*c) - due).powi(2) / due).sum();
    (chi - 255.0) / (2.0 * 255.0f64).sqrt()
}

#[test]
fn messages_and_random_choices_are_uniform() {
    let (mut sender, mut receiver) = pair();
    let first = receiver.stock.choices();
    for number in 0..2 {
        let iteration = iterate(&mut sender, &mut receiver);
        assert!(deviate(&iteration[HEADER..]) < 6.0, "sums of iteration {number}");
        // Column by column: a block's lowest bit is masked by nothing but the sum's own.
        for at in 0..16 {
            let column: Vec<u8> =
                iteration[HEADER..].iter().skip(at).step_by(16).copied().collect();
            assert!(deviate(&column) < 6.0, "byte {at} of the blocks");
        }
        for constant in [0, 1] {
            let mut message = Vec::new();
            let count = COTS / 2;
            receiver.extend(vec![vec![constant; count]], &mut message);
            sender.extend(&[count], &message).expect("the next message");
            let bits = &message[HEADER..HEADER + count / 8];
            let ones: u32 = bits.iter().map(|b| b.count_ones()).sum();
            let away = (f64::from(ones) - count as f64 / 2.0) / (count as f64 / 4.0).sqrt();
            assert!(deviate(bits) < 6.0 && away.abs() < 6.0, "choices of {constant}: {away}");
        }
    }
    assert_ne!(first, receiver.stock.choices(), "each iteration begins with others");
}

/// The choices are `A s + e` with one place of `e` in each block, which the first COTs' choices say.
#[test]
fn noise_is_regular_and_where_the_receiver_put_it() {
    let (mut sender, mut receiver) = pair();
    let base = receiver.stock.choices();
    iterate(&mut sender, &mut receiver);
    let next = receiver.stock.choices();
    let code = receiver.stock.code(0);
    for (i, block) in next.chunks_exact(LEAVES).enumerate() {
        let secret: Vec<Block> = base[..SECRET].iter().map(|b| Block::from(*b)).collect();
        let mut sums = vec![0; LEAVES];
        code::add(&code, secret[..].try_into().expect("as many"), i * LEAVES, &mut sums);
        let noise: Vec<usize> =
            (0..LEAVES).filter(|x| sums[*x] != Block::from(block[*x])).collect();
        let path = &base[SECRET + i * LEVELS..][..LEVELS];
        let place = path.iter().enumerate().map(|(level, b)| usize::from(1 - b) << level).sum();
        assert_eq!(noise, [place], "tree {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn any_run_of_extensions(
        runs in prop::collection::vec(prop::collection::vec(0usize..3000, 1..5), 1..6)
    ) {
        let (mut sender, mut receiver) = pair();
        iterate(&mut sender, &mut receiver);
        for (salt, lengths) in runs.iter().enumerate() {
            extend((&mut sender, &mut receiver), lengths, salt as u64);
        }
    }
}
