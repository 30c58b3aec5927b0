use proptest::prelude::*;

use super::*;

const SESSION: [u8; 32] = [5; 32];

/// Both parties of an instance.
fn pair(k: usize) -> (Sender, Receiver) {
    let seeds = [1, 2].map(|b| Seed::from_bytes([b; 32]));
    let (beginning, begin) = Beginning::new(SESSION, k, &seeds[0]);
    assert_eq!(begin.len(), BEGIN_BYTES);
    let (receiver, answer) = Receiver::answer(SESSION, k, &seeds[1], &begin).expect("points");
    assert_eq!(answer.len(), ANSWER_BYTES);
    (beginning.finish(&answer).expect("an answer"), receiver)
}

fn bits(count: usize, salt: u64) -> Vec<u8> {
    (0..count as u64)
        .map(|i| ((i ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & 1) as u8)
        .collect()
}

/// Extends and holds every COT against the definition.
fn extend(sender: &mut Sender, receiver: &mut Receiver, count: usize) -> (Sent, Received) {
    let mut message = Vec::new();
    let received = receiver.extend(vec![bits(count, 3)], &mut message).pop().expect("a run");
    assert_eq!(message.len(), extension_bytes(sender.k, count));
    let sent = sender.extend(&[count], &message).expect("the next message").pop().expect("a run");
    assert_eq!((sent.len(), received.len()), (count, count));
    for (i, (q, t)) in sent.blocks.iter().zip(&received.blocks).enumerate() {
        assert_eq!(*t, q ^ (sent.delta & received.chosen(i)), "COT {i} of {count}");
    }
    (sent, received)
}

#[test]
fn receivers_have_the_pad_of_their_choice_and_not_the_other() {
    for (k, ..) in BITS {
        let (mut sender, mut receiver) = pair(k);
        for count in [1, 127, 128, 1000, CHUNK + 77] {
            let (mut sent, mut received) = extend(&mut sender, &mut receiver, count);
            let mut earlier = Vec::new();
            for _ in 0..2 {
                let mut pads = Vec::new();
                sent.pads(|at, zeros, ones| {
                    assert_eq!(at, pads.len());
                    pads.extend(zeros.iter().zip(ones).map(|(z, o)| [*z, *o]));
                });
                let mut own = Vec::new();
                received.pads(|_, part| own.extend_from_slice(part));
                for (i, (pads, own)) in pads.iter().zip(&own).enumerate() {
                    let choice = received.choice(i) as usize;
                    assert_eq!(pads[choice], *own);
                    assert_ne!(pads[1 - choice], *own);
                }
                assert!(earlier.iter().zip(&own).all(|(a, b)| a != b), "every use has other pads");
                earlier = own;
            }
        }
    }
}

#[test]
fn parts_agree() {
    let (mut sender, mut receiver) = pair(8);
    extend(&mut sender, &mut receiver, 900);
    let choices = bits(CHUNK + 3000, 3);
    let mut before = 0;
    let lengths = [0, 5, 1500, CHUNK + 1495];
    let mut rest = &choices[..];
    let runs = lengths.map(|length| rest.split_off(..length).expect("so many").to_vec());
    let mut message = Vec::new();
    let received = receiver.extend(runs.to_vec(), &mut message);
    let sent = sender.extend(&lengths, &message).expect("the next message");
    for ((mut s, mut r), count) in sent.into_iter().zip(received).zip(lengths) {
        assert_eq!((s.len(), r.len()), (count, count));
        assert_eq!((s.is_empty(), r.is_empty()), (count == 0, count == 0));
        assert_eq!(r.choices(), &choices[before..before + count]);
        before += count;
        let mut all = Vec::new();
        s.pads(|_, zeros, ones| all.extend(zeros.iter().zip(ones).map(|(z, o)| [*z, *o])));
        let choice = |i: usize| usize::from(r.choices()[i]);
        let chosen: Vec<Block> = all.iter().enumerate().map(|(i, pads)| pads[choice(i)]).collect();
        r.pads(|at, own| assert_eq!(chosen[at..at + own.len()], *own));
    }
}

#[test]
fn what_is_not_the_next_message_is_refused() {
    let (mut sender, mut receiver) = pair(4);
    let mut first = Vec::new();
    receiver.extend(vec![bits(200, 1)], &mut first);
    let mut second = Vec::new();
    receiver.extend(vec![bits(200, 2)], &mut second);
    let order = |found, due| Some(Error::Order { what: EXTENSION, found, due });
    assert_eq!(sender.extend(&[200], &second).err(), order(256, 0), "one was left out");
    let length = |found, due| Some(Error::Length { what: EXTENSION, found, due });
    assert_eq!(sender.extend(&[200], &first[1..]).err(), length(1031, 1032));
    assert_eq!(sender.extend(&[300], &first).err(), length(1032, 8 + 32 * 384 / 8));
    assert_eq!(sender.extend(&[200], &[]).err(), length(0, 1032));
    assert!(sender.extend(&[200], &first).is_ok(), "what was refused used nothing up");
    assert_eq!(sender.extend(&[200], &first).err(), order(0, 256), "repeated");
    assert!(sender.extend(&[200], &second).is_ok());
}

#[test]
fn setups_of_another_length_or_without_points_are_refused() {
    let seeds = [1, 2].map(|b| Seed::from_bytes([b; 32]));
    let begin = || Beginning::new(SESSION, 8, &seeds[0]);
    let message = begin().1;
    let answer = |m: &[u8]| Receiver::answer(SESSION, 8, &seeds[1], m).map(|(_, answer)| answer);
    assert!(matches!(answer(&message[..8000]), Err(Error::Length { found: 8000, due: 8192, .. })));
    assert!(matches!(answer(&[0; BEGIN_BYTES]), Err(Error::Point { index: 0, .. })));
    let good = answer(&message).expect("the sender's");
    for len in [0, 32, ANSWER_BYTES - 1] {
        let refused = begin().0.finish(&good[..len]).err();
        assert_eq!(refused, Some(Error::Length { what: ANSWER, found: len, due: ANSWER_BYTES }));
    }
    let mut identity = good;
    identity[..32].fill(0);
    assert!(matches!(begin().0.finish(&identity), Err(Error::Point { index: 0, .. })));
}

#[test]
fn fixed_seeds_give_known_cots() {
    let (mut sender, mut receiver) = pair(8);
    let mut message = Vec::new();
    receiver.extend(vec![bits(1000, 3)], &mut message);
    let mut sent = sender.extend(&[1000], &message).expect("the next message").remove(0);
    let mut pads = [0, 0];
    sent.pads(|_, zeros, ones| {
        pads = [(pads[0], zeros), (pads[1], ones)].map(|(sum, p)| p.iter().fold(sum, |s, x| s ^ x));
    });
    assert_eq!(blake3::hash(&message).to_hex()[..16], *"e91517c87839b38d");
    assert_eq!(
        format!("{:032x} {:032x}", pads[0], pads[1]),
        "711f9c7f4bc3a4defe7a79b5d476c5fd 2b7ddc3d4c08fe70b07cd385a3dcfc57"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_run_of_extensions(counts in prop::collection::vec(0usize..2000, 1..6), at in 0usize..4) {
        let (mut sender, mut receiver) = pair(BITS[at].0);
        for count in counts {
            extend(&mut sender, &mut receiver, count);
        }
    }
}
