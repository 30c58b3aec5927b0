//! Which extension makes COTs, and an instance of either: what a protocol over COTs is written with.
//!
//! Both have the same life. What differs is who sends what: a SoftSpoken receiver sends all, a Ferret sender announces iterations
//! ahead ([`Sender::announce`]), and its receiver sends a bit a COT. Batches of COTs begin afresh ([`Sender::begin`]), so that the bytes
//! of each follow from its own COTs.

use sotto_crypto::Seed;

use crate::{
    error::{Error, check_length},
    ferret, softspoken, {Received, Sent},
};

const ANNOUNCED: &str = "iterations of Ferret";

/// Which extension makes COTs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Of this parameter, one of [`softspoken::BITS`]: symmetric cryptography alone.
    SoftSpoken(usize),
    /// Fewest bytes; learning parity with noise beside.
    Ferret,
}

impl Extension {
    /// SoftSpoken where nothing else is said.
    pub const SOFTSPOKEN: Self = Self::SoftSpoken(softspoken::K);

    /// Bytes of a setup's first message, the sender's, and of its second.
    pub const fn setup_bytes(self) -> [usize; 2] {
        match self {
            Self::SoftSpoken(_) => [softspoken::BEGIN_BYTES, softspoken::ANSWER_BYTES],
            Self::Ferret => [ferret::BEGIN_BYTES, ferret::ANSWER_BYTES],
        }
    }

    /// Bytes with which a receiver makes `count` COTs; nothing is sent for none.
    pub fn bytes(self, count: usize) -> usize {
        match (self, count) {
            (_, 0) => 0,
            (Self::SoftSpoken(k), _) => softspoken::extension_bytes(k, count),
            (Self::Ferret, _) => ferret::extension_bytes(count),
        }
    }

    /// Iterations with which a sender announces COTs up to number `to` of a batch, where those up to `from` are announced.
    pub const fn iterations(self, from: usize, to: usize) -> usize {
        match self {
            Self::SoftSpoken(_) => 0,
            Self::Ferret => ferret::iterations(to) - ferret::iterations(from),
        }
    }

    /// Bytes of that.
    pub const fn announced_bytes(self, from: usize, to: usize) -> usize {
        self.iterations(from, to) * ferret::ITERATION_BYTES
    }

    /// Whether COTs are announced in a message before the one that makes them.
    pub const fn announces(self) -> bool {
        matches!(self, Self::Ferret)
    }

    /// The number of this extension and its parameter, which no other has.
    pub const fn code(self) -> u8 {
        match self {
            Self::SoftSpoken(k) => k as u8,
            Self::Ferret => 0,
        }
    }
}

/// A sender before the receiver's answer. No `Debug`: it is secret.
pub enum Beginning {
    /// Of SoftSpoken.
    SoftSpoken(softspoken::Beginning),
    /// Of Ferret.
    Ferret(ferret::Beginning),
}

/// Who has both pads of each COT. No `Debug`: it is secret.
pub enum Sender {
    /// Of SoftSpoken.
    SoftSpoken(softspoken::Sender),
    /// Of Ferret.
    Ferret(ferret::Sender),
}

/// Who chooses. No `Debug`: it is secret.
pub enum Receiver {
    /// Of SoftSpoken.
    SoftSpoken(softspoken::Receiver),
    /// Of Ferret.
    Ferret(ferret::Receiver),
}

impl Beginning {
    /// As [`softspoken::Beginning::new`].
    pub fn new(extension: Extension, session: [u8; 32], seed: &Seed) -> (Self, Vec<u8>) {
        match extension {
            Extension::SoftSpoken(k) => {
                let (beginning, message) = softspoken::Beginning::new(session, k, seed);
                (Self::SoftSpoken(beginning), message)
            }
            Extension::Ferret => {
                let (beginning, message) = ferret::Beginning::new(session, seed);
                (Self::Ferret(beginning), message)
            }
        }
    }

    /// The sender, from the receiver's answer.
    ///
    /// # Errors
    /// When it is none.
    pub fn finish(self, answer: &[u8]) -> Result<Sender, Error> {
        Ok(match self {
            Self::SoftSpoken(beginning) => Sender::SoftSpoken(beginning.finish(answer)?),
            Self::Ferret(beginning) => Sender::Ferret(beginning.finish(answer)?),
        })
    }
}

impl Sender {
    /// Begins a batch: what is left of announced COTs is dropped.
    pub fn begin(&mut self) {
        if let Self::Ferret(sender) = self {
            sender.begin();
        }
    }

    /// Announces COTs up to number `to` of the batch; appends what the receiver needs for them before it makes them.
    pub fn announce(&mut self, to: usize, message: &mut Vec<u8>) {
        if let Self::Ferret(sender) = self {
            (sender.announced()..ferret::iterations(to)).for_each(|_| sender.iterate(message));
        }
    }

    /// The COTs of runs of these `lengths`, for which the receiver sent `message`.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Order`] when it is not the next message.
    pub fn extend(&mut self, lengths: &[usize], message: &[u8]) -> Result<Vec<Sent>, Error> {
        match self {
            Self::SoftSpoken(sender) => sender.extend(lengths, message),
            Self::Ferret(sender) => sender.extend(lengths, message),
        }
    }
}

impl Receiver {
    /// As [`softspoken::Receiver::answer`].
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Point`] when the message is none.
    pub fn answer(
        extension: Extension,
        session: [u8; 32],
        seed: &Seed,
        begin: &[u8],
    ) -> Result<(Self, Vec<u8>), Error> {
        Ok(match extension {
            Extension::SoftSpoken(k) => {
                let (receiver, message) = softspoken::Receiver::answer(session, k, seed, begin)?;
                (Self::SoftSpoken(receiver), message)
            }
            Extension::Ferret => {
                let (receiver, message) = ferret::Receiver::answer(session, seed, begin)?;
                (Self::Ferret(receiver), message)
            }
        })
    }

    /// As [`Sender::begin`].
    pub fn begin(&mut self) {
        if let Self::Ferret(receiver) = self {
            receiver.begin();
        }
    }

    /// Takes what the sender announces.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Order`] when it is not whole iterations, of which the first is the next.
    pub fn announced(&mut self, message: &[u8]) -> Result<(), Error> {
        match self {
            Self::SoftSpoken(_) => check_length(ANNOUNCED, message.len(), 0),
            Self::Ferret(receiver) => {
                let mut all = message.chunks(ferret::ITERATION_BYTES);
                all.try_for_each(|message| receiver.iterate(message))
            }
        }
    }

    /// Makes COTs for runs of `choices` (0 or 1 each), and appends the message to the sender.
    pub fn extend(&mut self, choices: Vec<Vec<u8>>, message: &mut Vec<u8>) -> Vec<Received> {
        match self {
            Self::SoftSpoken(receiver) => receiver.extend(choices, message),
            Self::Ferret(receiver) => receiver.extend(choices, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_of_either_take_the_bytes_that_follow_from_their_cots() {
        for extension in [Extension::SoftSpoken(4), Extension::Ferret] {
            let seeds = [1, 2].map(|b| Seed::from_bytes([b; 32]));
            let (beginning, begin) = Beginning::new(extension, [7; 32], &seeds[0]);
            let (mut receiver, answer) =
                Receiver::answer(extension, [7; 32], &seeds[1], &begin).expect("points");
            assert_eq!([begin.len(), answer.len()], extension.setup_bytes());
            let mut sender = beginning.finish(&answer).expect("an answer");
            for _ in 0..2 {
                sender.begin();
                receiver.begin();
                let mut at = 0;
                for count in [1000, 0, ferret::COTS, 5] {
                    let mut message = Vec::new();
                    sender.announce(at + count, &mut message);
                    assert_eq!(message.len(), extension.announced_bytes(at, at + count));
                    receiver.announced(&message).expect("iterations");
                    assert!(message.is_empty() || receiver.announced(&message).is_err(), "again");
                    at += count;
                    let mut message = Vec::new();
                    let received = receiver.extend(vec![vec![1; count]], &mut message).remove(0);
                    assert!(count == 0 || message.len() == extension.bytes(count));
                    let sent = sender.extend(&[count], &message).expect("the next message");
                    assert_eq!(received.len(), sent[0].len());
                    let pairs = sent[0].blocks.iter().zip(&received.blocks);
                    pairs.for_each(|(q, t)| assert_eq!(q ^ t, sent[0].delta));
                }
            }
            assert!(receiver.announced(&[1]).is_err());
        }
        assert_eq!(Extension::SoftSpoken(8).bytes(0) + Extension::Ferret.bytes(0), 0);
    }
}
