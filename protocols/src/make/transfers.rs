//! COTs in both directions between two parties: set up once for a connection, used by all batches that are made over it.

use sotto_crypto::Seed;
use sotto_ot::extension::{Beginning, Extension, Receiver, Sender};

use crate::{error::Error, spec::Role};

/// One party's side of both instances. No `Debug`: it is secret.
pub struct Transfers {
    /// In which this party sends.
    pub(super) sender: Sender,
    /// In which this party chooses.
    pub(super) receiver: Receiver,
    pub(super) extension: Extension,
}

/// The setup after its first message. No `Debug`: it is secret.
pub struct Setup {
    role: Role,
    session: [u8; 32],
    extension: Extension,
    seed: Seed,
    beginning: Beginning,
}

/// The setup after its second message. No `Debug`: it is secret.
pub struct Answered {
    role: Role,
    extension: Extension,
    beginning: Beginning,
    receiver: Receiver,
}

/// A name of the instance in which `sender` sends, which is not the other's.
fn instance(session: &[u8; 32], sender: Role) -> [u8; 32] {
    *blake3::keyed_hash(session, sender.name().as_bytes()).as_bytes()
}

/// What a peer's message was refused for.
pub(super) fn refused(role: Role, error: &sotto_ot::Error) -> Error {
    Error::Desync {
        peer: role.peer().name().to_owned(),
        what: error.to_string(),
        remedy: "close the connection, and make correlations anew over another".into(),
    }
}

impl Setup {
    /// Begins: returns the message to the peer, too. Both parties send theirs at once. `session` is common to both and to no other
    /// setup; `seed` is this party's own, for this alone. Its messages take [`Extension::setup_bytes`].
    pub fn new(
        role: Role,
        session: [u8; 32],
        extension: Extension,
        seed: &Seed,
    ) -> (Self, Vec<u8>) {
        let name = instance(&session, role);
        let (beginning, message) = Beginning::new(extension, name, &seed.derive("sender", 0));
        (Self { role, session, extension, seed: seed.derive("receiver", 0), beginning }, message)
    }

    /// Takes the peer's first message; returns the second message, too.
    ///
    /// # Errors
    /// [`Error::Desync`] when it is none.
    pub fn answer(self, begin: &[u8]) -> Result<(Answered, Vec<u8>), Error> {
        let Self { role, session, extension, seed, beginning } = self;
        let name = instance(&session, role.peer());
        let (receiver, message) =
            Receiver::answer(extension, name, &seed, begin).map_err(|e| refused(role, &e))?;
        Ok((Answered { role, extension, beginning, receiver }, message))
    }
}

impl Answered {
    /// Takes the peer's second message.
    ///
    /// # Errors
    /// [`Error::Desync`] when it is none.
    pub fn finish(self, answer: &[u8]) -> Result<Transfers, Error> {
        let Self { role, extension, beginning, receiver } = self;
        let sender = beginning.finish(answer).map_err(|e| refused(role, &e))?;
        Ok(Transfers { sender, receiver, extension })
    }
}
