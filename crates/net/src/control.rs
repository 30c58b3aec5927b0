//! Typed control messages (handshake, plan, counts) over any link.
//!
//! # Security
//! Hostile bytes give an error: the length is checked against [`LIMIT`] before anything is
//! allocated, and decoding never claims more than that. Message types must not be recursive and
//! must not hold vectors of zero-sized elements, whose count no byte backs.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::enc::write::SizeWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::{Error, Link};

/// Largest control message (bytes).
pub const LIMIT: usize = 4 << 20;

fn format() -> Configuration<LittleEndian, Fixint, Limit<LIMIT>> {
    bincode::config::standard().with_fixed_int_encoding().with_limit::<LIMIT>()
}

/// Queues `message` as step `step`.
///
/// # Errors
/// [`Error::Config`] when it does not encode within [`LIMIT`] bytes, and those of [`Link::send`].
pub fn send<T: Serialize>(link: &mut dyn Link, step: u32, message: &T) -> Result<(), Error> {
    let kind = std::any::type_name::<T>();
    // The library's text may quote values.
    let bytes = encode(message)
        .ok_or_else(|| Error::Config(format!("a {kind} does not encode within {LIMIT} bytes")))?;
    link.send(step, bytes)
}

/// Into a buffer of the right size from the start: one that grows leaves seeds where it was before. The link wipes it.
fn encode<T: Serialize>(message: &T) -> Option<Vec<u8>> {
    let mut size = SizeWriter::default();
    bincode::serde::encode_into_writer(message, &mut size, format()).ok()?;
    let size = Some(size.bytes_written).filter(|size| *size <= LIMIT)?;
    let mut bytes = vec![0; size];
    bincode::serde::encode_into_slice(message, &mut bytes, format()).ok()?;
    Some(bytes)
}

/// The peer's next message, which must be a `T` at step `step`, to the last byte.
///
/// # Errors
/// [`Error::Garbage`] when it is not, and those of [`Link::recv_upto`].
pub fn recv<T: DeserializeOwned>(link: &mut dyn Link, step: u32) -> Result<T, Error> {
    // Seeds come this way.
    let bytes = Zeroizing::new(link.recv_upto(step, LIMIT)?);
    let garbage = |why: &str| Error::Garbage {
        peer: link.peer().to_owned(),
        step,
        why: format!("{why} (a {} was due)", std::any::type_name::<T>()),
    };
    match bincode::serde::decode_from_slice(&bytes, format()) {
        Ok((message, used)) if used == bytes.len() => Ok(message),
        Ok(_) => Err(garbage("a control message with bytes left over")),
        Err(bincode::error::DecodeError::UnexpectedEnd { .. }) => {
            Err(garbage("a control message cut short"))
        }
        Err(bincode::error::DecodeError::LimitExceeded) => {
            Err(garbage("a control message that claims too much"))
        }
        Err(_) => Err(garbage("a control message that does not decode")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_pair;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    enum Greeting {
        Hello { name: String, sizes: Vec<u64> },
        Bye(Option<u8>),
    }

    #[test]
    fn messages_survive_the_trip() {
        let (mut a, mut b) = local_pair("client", "server");
        let hello = Greeting::Hello { name: "vit".into(), sizes: vec![1, 2, u64::MAX] };
        send(&mut a, 1, &hello).unwrap();
        send(&mut a, 2, &Greeting::Bye(Some(3))).unwrap();
        assert_eq!(recv::<Greeting>(&mut b, 1).unwrap(), hello);
        assert_eq!(recv::<Greeting>(&mut b, 2).unwrap(), Greeting::Bye(Some(3)));
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let (mut a, mut b) = local_pair("client", "server");
        let mut huge_string = 0u32.to_le_bytes().to_vec();
        huge_string.extend(u64::MAX.to_le_bytes());
        let mut huge_vec = 0u32.to_le_bytes().to_vec();
        huge_vec.extend(0u64.to_le_bytes());
        huge_vec.extend((1u64 << 60).to_le_bytes());
        let mut trailing = 1u32.to_le_bytes().to_vec();
        trailing.extend([0, 0]);
        let bad: [&[u8]; 7] =
            [&[], &[1], &[9, 0, 0, 0], &[1, 0, 0, 0, 7], &huge_string, &huge_vec, &trailing];
        for (step, bytes) in (0..).zip(bad) {
            a.send(step, bytes.to_vec()).unwrap();
            let error = recv::<Greeting>(&mut b, step).unwrap_err();
            assert!(matches!(error, Error::Garbage { .. }), "case {step}: {error}");
        }
        a.send(100, vec![0; LIMIT + 1]).unwrap();
        assert!(matches!(recv::<Greeting>(&mut b, 100).unwrap_err(), Error::Desync { .. }));
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let (mut a, mut b) = local_pair("client", "server");
        // A fixed linear congruential sequence: the same bytes on every run.
        let mut state = 1u64;
        let (mut good, mut bad) = (0, 0);
        for step in 0..5000 {
            let bytes: Vec<u8> = (0..step % 40)
                .map(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    ((state >> 56) as u8) & if step % 2 == 0 { 1 } else { 255 }
                })
                .collect();
            a.send(step, bytes).unwrap();
            match recv::<Greeting>(&mut b, step) {
                Ok(_) => good += 1,
                Err(Error::Garbage { .. }) => bad += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(bad > 4000, "{good} decoded, {bad} did not");
    }
}
