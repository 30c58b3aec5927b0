//! Fuzz targets of what is private here; `fuzz/README.md` has the commands.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use crate::frame::{HEADER, Header, Kind};
use crate::stream::tests::read;
use crate::{Endpoint, Error, Identity, Link, Profile};

#[test]
fn header() {
    bolero::check!().with_type::<([u8; HEADER], u8, u64)>().for_each(|(bytes, valid, max)| {
        // The first so many bytes are those of a good header.
        let mut head = Header { kind: Kind::Message, step: 7, len: 100 }.encode();
        let valid = usize::from(*valid) % (HEADER + 1);
        head[valid..].copy_from_slice(&bytes[valid..]);
        if let Ok(header) = Header::decode(&head, *max) {
            assert!(header.len <= *max);
            assert_eq!(header.encode(), head);
        }
    });
}

/// A frame, whole or cut, of any kind; or bytes that are none.
#[derive(Clone, Debug, bolero::TypeGenerator)]
enum Piece {
    Frame { kind: u8, step: u32, payload: Vec<u8> },
    Claims { kind: u8, len: u64 },
    Any(Vec<u8>),
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        let head = |kind: u8, step: u32, len: u64| {
            let kind = [b'S', b'o', 1, kind % 5];
            [&kind[..], &step.to_le_bytes(), &len.to_le_bytes()].concat()
        };
        match self {
            Piece::Frame { kind, step, payload } => {
                // Mostly messages.
                let kind = if *kind < 200 { 0 } else { *kind };
                [head(kind, step % 4, payload.len() as u64), payload.clone()].concat()
            }
            Piece::Claims { kind, len } => head(*kind, 0, *len),
            Piece::Any(bytes) => bytes.clone(),
        }
    }
}

/// Over real QUIC: the reader gives messages and then an error, whatever comes in.
#[test]
fn stream() {
    let [s, c] = ["server", "client"].map(|name| Identity::generate(name).expect("a fresh key"));
    let mut profile = Profile::loopback();
    (profile.max_frame, profile.prefetch) = (1 << 20, 4000);
    let pin = |one: &Identity| [(one.name().to_owned(), one.certificate().clone())];
    let bind = |us: &Identity, dial: &[_], accept: &[_]| {
        let any_port = ([127, 0, 0, 1], 0).into();
        Endpoint::bind(any_port, us, dial, accept, profile.clone()).expect("a free port")
    };
    let both = AssertUnwindSafe((bind(&s, &[], &pin(&c)), bind(&c, &pin(&s), &[])));
    const PATIENCE: Duration = Duration::from_secs(20);
    bolero::check!().with_type::<Vec<Piece>>().for_each(|pieces: &Vec<Piece>| {
        let AssertUnwindSafe((server, client)) = &both;
        let attacker = client.connect(server.local_addr(), "server", PATIENCE);
        let attacker = attacker.expect("it is pinned");
        let mut victim = server.accept(PATIENCE).expect("it has connected");
        let bytes: Vec<u8> = pieces.iter().flat_map(Piece::bytes).collect();
        attacker.send_raw(bytes.clone());
        let (messages, is_garbage) = read(&bytes);
        for (step, payload) in messages {
            assert!(victim.recv(step, payload.len()).is_ok_and(|got| got == payload));
        }
        if !is_garbage {
            victim.set_deadline(Duration::from_millis(2));
        }
        let fits = match victim.recv(1, 1) {
            Err(Error::Garbage { .. }) => is_garbage,
            Err(Error::Deadline { .. } | Error::Desync { .. }) => !is_garbage,
            _ => false,
        };
        assert!(fits, "garbage: {is_garbage}");
    });
}
