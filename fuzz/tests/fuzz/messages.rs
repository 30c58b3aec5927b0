//! Every control message between the processes, both ways.

use serde::{Serialize, de::DeserializeOwned};
use sotto::{
    card::Card,
    config::Source,
    messages::{
        Ask, Assigned, ClientHello, DealerHello, DealerWelcome, Dealt, Keep, Reply, Request,
        Secret, ServerWelcome, VERSION, Waits,
    },
    refusal::Refusal,
};
use sotto_crypto::Seed;
use sotto_models::{length::Length, private::Options};
use sotto_net::{Error, Link, control, local_pair};
use zeroize::Zeroizing;

use super::input::{Input, fuzz};

const STEP: u32 = 4;

fn encoded<T: Serialize>(message: &T) -> Vec<u8> {
    let (mut a, mut b) = local_pair("client", "server");
    control::send(&mut a, STEP, message).expect("a small message");
    b.recv_upto(STEP, control::LIMIT).expect("it was just sent")
}

/// What comes in is a message of this type, of exactly these bytes' length, or garbage.
fn check<T: Serialize + DeserializeOwned>(valid: &[Vec<u8>], input: &Input) {
    let bytes = input.bytes(valid);
    let (mut a, mut b) = local_pair("client", "server");
    a.send(STEP, bytes.clone()).expect("an empty queue has room");
    match control::recv::<T>(&mut b, STEP) {
        Ok(message) => assert_eq!(encoded(&message).len(), bytes.len()),
        Err(Error::Garbage { step, .. }) => assert_eq!(step, STEP),
        Err(Error::Desync { .. }) => assert!(bytes.len() > control::LIMIT),
        Err(e) => panic!("another error: {e}"),
    }
}

fn card() -> Card {
    Card {
        arch: "name = \"x\"".into(),
        calibration: "images = 1".into(),
        batch: 1,
        options: Options::default(),
        framing: None,
        lexicon: Some([4; 32]),
    }
}

fn secret(byte: u8) -> Secret {
    Secret(Seed::from_bytes([byte; 32]))
}

fn assigned() -> Assigned {
    Assigned { id: 7, ticket: Zeroizing::new([1; 16]) }
}

/// Every kind of refusal that carries something.
fn refusals() -> Vec<Refusal> {
    let text = || "text".to_owned();
    vec![
        Refusal::Version { ours: 1, yours: 2 },
        Refusal::OtherModel { asked: text(), served: text() },
        Refusal::WhichModel { served: text() },
        Refusal::Card(text()),
        Refusal::OtherPlan { ours: text(), yours: text() },
        Refusal::NotYourRole(text()),
        Refusal::Unknown(text()),
        Refusal::NotAnnounced { server: text(), plan: text() },
        Refusal::Stale,
        Refusal::NotKept,
        Refusal::TooManyPlans,
        Refusal::NoDealer(text()),
        Refusal::Exhausted(text()),
        Refusal::Busy(3),
        Refusal::Burnt(3),
        Refusal::Quota { used: 1, quota: 1 },
        Refusal::Rate(3),
    ]
}

fn with_refusals<T: Serialize>(messages: Vec<T>, refused: impl Fn(Refusal) -> T) -> Vec<Vec<u8>> {
    let all = messages.into_iter().chain(refusals().into_iter().map(refused));
    all.map(|message| encoded(&message)).collect()
}

#[test]
fn dealer_hello() {
    let (plan, commitment) = ([2; 32], [3; 32]);
    let valid = [
        encoded(&DealerHello::Server {
            version: VERSION,
            card: card(),
            length: Some(Length::Public(7)),
            plan,
            commitment,
        }),
        encoded(&DealerHello::Batches {
            version: VERSION,
            server: Some("server".into()),
            plan,
            epoch: [4; 16],
        }),
    ];
    fuzz!(|input: &Input| check::<DealerHello>(&valid, input));
}

#[test]
fn dealer_welcome() {
    let setup = DealerWelcome::Setup { epoch: [1; 16], masks: [5; 16], seed: secret(2) };
    let valid = with_refusals(vec![setup, DealerWelcome::Ready], DealerWelcome::Refused);
    fuzz!(|input: &Input| check::<DealerWelcome>(&valid, input));
}

#[test]
fn ask() {
    let Assigned { id, ticket } = assigned();
    let pad = || secret(5);
    let valid = [
        Ask::New { pad: Some(pad()) },
        Ask::New { pad: None },
        Ask::Seed { id, pad: pad() },
        Ask::Audit { id },
        Ask::Claim { id, ticket, pad: pad() },
    ];
    let valid = valid.each_ref().map(encoded);
    fuzz!(|input: &Input| check::<Ask>(&valid, input));
}

#[test]
fn dealt() {
    let Assigned { id, ticket } = assigned();
    let seed = secret(2);
    let batch = Dealt::Batch {
        id,
        ticket,
        tag: [1; 16],
        peer: [3; 32],
        seed: Some(seed.clone()),
        corrections: 1 << 40,
    };
    let both = Dealt::Audit([seed.clone(), seed.clone()]);
    let valid = with_refusals(vec![batch, Dealt::Seed(seed), both], Dealt::Refused);
    fuzz!(|input: &Input| check::<Dealt>(&valid, input));
}

#[test]
fn client_hello() {
    let model = Some("model".to_owned());
    let (held, stale) = (Some([1; 16]), Some([2; 16]));
    let valid = [encoded(&ClientHello {
        version: VERSION,
        name: Some("name".into()),
        model,
        length: Some(Length::Hidden(16)),
        held,
        stale,
        source: Source::Peer,
        waits: Some(Waits { folder: [4; 16], tags: vec![[5; 16]; 2], alone: true }),
        making: Some([3; 32]),
    })];
    fuzz!(|input: &Input| check::<ClientHello>(&valid, input));
}

#[test]
fn server_welcome() {
    let welcome = ServerWelcome::Card {
        name: "model".into(),
        card: card(),
        plan: [1; 32],
        model: [2; 32],
        epoch: [3; 16],
        masks: [4; 16],
        setup: 1 << 30,
        keeps: 2,
        waits: vec![[6; 16]; 2],
    };
    let valid = with_refusals(vec![welcome], ServerWelcome::Refused);
    fuzz!(|input: &Input| check::<ServerWelcome>(&valid, input));
}

#[test]
fn request() {
    let valid = [
        Request::Prepare { held: Some(3), ahead: 8 },
        Request::Infer { id: 7, tag: [9; 16] },
        Request::Make { keep: None },
        Request::Make { keep: Some(Keep { folder: [4; 16], pad: secret(3) }) },
        Request::Wake { tag: [8; 16] },
        Request::Open { key: secret(4) },
        Request::Length { length: Length::Hidden(16) },
        Request::Bye,
    ];
    let valid = valid.each_ref().map(encoded);
    fuzz!(|input: &Input| check::<Request>(&valid, input));
}

#[test]
fn reply() {
    let ahead = vec![assigned(), assigned()];
    let messages = vec![
        Reply::Assigned(assigned()),
        Reply::Waiting { got: 1, all: 2 },
        Reply::Ready { id: 7, tag: [1; 16], offline_bytes: 32, ahead },
        Reply::Making { id: 7, pad: Some(secret(3)) },
        Reply::Waking { id: 7 },
        Reply::Woken { key: secret(4) },
        Reply::Length { plan: [5; 32] },
    ];
    let valid = with_refusals(messages, Reply::Refused);
    fuzz!(|input: &Input| check::<Reply>(&valid, input));
}
