//! Hostile bytes from a peer or a dealer: an error or a valid value, never a panic, never a huge claim of
//! memory (the suite's allocator refuses those).

use std::panic::catch_unwind;

use proptest::{collection::vec, prelude::*, sample::Index};
use serde::{Deserialize, Serialize};
use sotto_crypto::Seed;
use sotto_net::{Error as NetError, Link, control, local_pair};
use sotto_protocols::{
    Error, Role,
    batch::Batch,
    weights::{SetupMasks, Weights, read_setup, setup_message},
};
use sotto_ring::pack;

use crate::{
    gate_plans,
    wiretap::{dealt, evaluate},
    zoo,
};

/// One change of a valid text or file.
#[derive(Clone, Debug)]
pub enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index, usize),
    Repeat(Index, usize),
    End(Index),
}

/// A few changes; most leave the most part of a file valid.
pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let place = any::<Index>;
    let edit = prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        4 => (place(), 0u8..8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        2 => (place(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (place(), 1usize..40).prop_map(|(at, count)| Edit::Cut(at, count)),
        1 => (place(), 1usize..200).prop_map(|(at, count)| Edit::Repeat(at, count)),
        1 => place().prop_map(Edit::End),
    ];
    vec(edit, 1..6)
}

/// `valid` with the changes made.
pub fn edited(valid: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        let (len, bytes) = (bytes.len(), &mut bytes);
        match edit {
            Edit::Set(at, byte) => bytes[at.index(len)] = *byte,
            Edit::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Edit::Insert(at, more) => {
                let at = at.index(len);
                bytes.splice(at..at, more.iter().copied());
            }
            Edit::Cut(at, count) => {
                let at = at.index(len);
                bytes.drain(at..(at + count).min(len));
            }
            Edit::Repeat(at, count) => {
                let at = at.index(len);
                bytes.extend_from_within(at..(at + count).min(len));
            }
            Edit::End(at) => bytes.truncate(at.index(len)),
        }
    }
    bytes
}

fn model() -> zoo::Specimen {
    let (arch, batch, options) = zoo::every_kind().swap_remove(2);
    zoo::specimen(arch, batch, options, 1)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn a_setup_message_is_read_or_refused_by_its_length() {
    let model = model();
    let (plan, matrices) = (&model.private.plan, model.private.matrices(&model.weights));
    let masks = SetupMasks::expand(plan, &Seed::from_bytes([2; 32]));
    let valid = setup_message(plan, &matrices, &masks);
    proptest!(config(200), |(edits in edits(), random in vec(any::<u8>(), 0..3000))| {
        for bytes in [edited(&valid, &edits), random] {
            let len = bytes.len();
            match read_setup(plan, bytes, "server") {
                Ok(Weights::Masked(masked)) => {
                    prop_assert_eq!(len, valid.len());
                    for (id, spec) in plan.weights.iter().enumerate() {
                        let words = masked.matrix(id).to_words();
                        let within = words.iter().all(|w| *w <= sotto_ring::mask(spec.width));
                        prop_assert!(within && words.len() == spec.outputs * spec.inputs);
                    }
                }
                Ok(_) => prop_assert!(false, "a client has no plain weights"),
                Err(Error::Desync { .. }) => prop_assert!(len != valid.len()),
                Err(e) => prop_assert!(false, "another error: {}", e),
            }
        }
    });
}

fn batch(corrections: Option<Vec<u8>>) -> Batch {
    Batch { id: 7, seed: Seed::from_bytes([3; 32]), corrections }
}

#[test]
fn corrections_of_another_length_are_refused() {
    let model = model();
    let plan = &model.private.plan;
    let weights = Weights::Plain(model.private.matrices(&model.weights));
    let due = plan.correction_bytes();
    let stage = |len: usize| batch(Some(vec![0x5c; len])).stage(plan, Role::Server, &weights);
    for len in [0, 1, due / 2, due - 1, due + 1, 2 * due] {
        match stage(len) {
            Err(Error::Correlation { batch: 7, what }) => assert!(what.contains(&len.to_string())),
            Err(e) => panic!("{len} bytes: another error: {e}"),
            Ok(_) => panic!("{len} bytes for {due} were taken"),
        }
    }
    assert!(stage(due).is_ok());
}

#[test]
fn corrections_of_random_bytes_never_panic() {
    for (i, case) in gate_plans::all().iter().enumerate() {
        let plan = &case.plan;
        let secrets = &case.secrets[1];
        let seed = Seed::from_bytes([4; 32]).derive("garbage", i as u64);
        let (local, [server, _]) = dealt(plan, &secrets.matrices, &seed, Role::Client);
        let garbage = seed.stream(1).bytes(plan.correction_bytes());
        let batches = [server, batch(Some(garbage))];
        let zeros: Vec<Vec<i64>> = secrets.inputs.iter().map(|v| vec![0; v.len()]).collect();
        let (a, b) = local_pair("client", "server");
        let links: [Box<dyn Link>; 2] = [Box::new(a), Box::new(b)];
        let [server, client] = evaluate(&local, batches, links, [&zeros, &secrets.inputs]);
        assert!(server.is_ok() && client.is_ok(), "{}", case.name);
    }
}

#[test]
fn unpack_takes_exactly_its_length() {
    proptest!(config(2000), |(width in 1u32..=64, count in 0usize..400, bytes in vec(any::<u8>(), 0..3300))| {
        let due = pack::packed_len(count, width);
        let mut fitting = bytes.clone();
        fitting.resize(due, 0xff);
        let mut words = vec![u64::MAX; count];
        pack::unpack(&fitting, width, &mut words);
        prop_assert!(words.iter().all(|w| *w <= sotto_ring::mask(width)));
        if bytes.len() != due {
            let refused = catch_unwind(|| pack::unpack(&bytes, width, &mut vec![0; count]));
            prop_assert!(refused.is_err(), "{} bytes for {}", bytes.len(), due);
        }
    });
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Inner {
    name: String,
    hash: [u8; 32],
    lists: Vec<Vec<u64>>,
}

/// As rich as a control message may be.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Control {
    Bye,
    Offer { inner: Inner, maybe: Option<Box<Inner>>, flags: Vec<bool>, rate: f64 },
    Texts(Vec<String>, u8, char),
}

fn controls() -> Vec<Control> {
    let inner = |n: u64| Inner {
        name: "vit".repeat(n as usize),
        hash: [n as u8; 32],
        lists: (0..n).map(|i| (0..i).collect()).collect(),
    };
    vec![
        Control::Bye,
        Control::Offer {
            inner: inner(3),
            maybe: Some(Box::new(inner(5))),
            flags: vec![true, false],
            rate: 0.5,
        },
        Control::Texts(vec!["a".into(), "ü".into()], 7, 'é'),
    ]
}

/// What the receiver makes of `bytes`.
fn received(bytes: Vec<u8>) -> Result<Control, NetError> {
    let (mut a, mut b) = local_pair("client", "server");
    a.send(4, bytes).expect("an empty queue has room");
    control::recv(&mut b, 4)
}

#[test]
fn control_messages_are_values_or_garbage() {
    let encoded = |message: &Control| {
        let (mut a, mut b) = local_pair("client", "server");
        control::send(&mut a, 4, message).expect("a small message");
        b.recv_upto(4, control::LIMIT).expect("it was just sent")
    };
    let valid: Vec<Vec<u8>> = controls().iter().map(encoded).collect();
    for (message, bytes) in controls().into_iter().zip(&valid) {
        assert_eq!(received(bytes.clone()).expect("its own bytes"), message);
    }
    proptest!(config(1500), |(which in 0usize..3, edits in edits(), random in vec(any::<u8>(), 0..400))| {
        for bytes in [edited(&valid[which], &edits), random] {
            match received(bytes.clone()) {
                Ok(message) => prop_assert_eq!(encoded(&message).len(), bytes.len()),
                Err(NetError::Garbage { step, .. }) => prop_assert_eq!(step, 4),
                Err(e) => prop_assert!(false, "another error: {}", e),
            }
        }
    });
}

#[test]
fn control_lengths_are_never_believed() {
    for claimed in [1u64 << 20, 1 << 32, 1 << 60, u64::MAX] {
        // Every place in which a length can stand, the largest message that is taken in behind it.
        for prefix in [0usize, 1, 8, 40] {
            let mut bytes = 1u32.to_le_bytes().to_vec();
            bytes.extend(vec![0; prefix]);
            bytes.extend(claimed.to_le_bytes());
            bytes.resize(control::LIMIT, 0);
            assert!(matches!(received(bytes), Err(NetError::Garbage { .. })), "{claimed} {prefix}");
        }
    }
    let beyond = received(vec![0; control::LIMIT + 1]);
    assert!(matches!(beyond, Err(NetError::Desync { .. })), "longer than the limit");
}
