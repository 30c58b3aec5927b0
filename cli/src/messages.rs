//! Control messages between the processes. Payloads of the protocol itself never pass through here.

use serde::{Deserialize, Serialize};
use sotto_net::{Link, control};
use zeroize::Zeroizing;

use crate::{card::Card, error::Error};

/// Version of these messages.
pub const VERSION: u32 = 1;

/// Steps of control messages; the plan's levels use small numbers.
pub mod step {
    /// Greetings.
    pub const HELLO: u32 = 0x8000_0000;
    /// Answers to greetings.
    pub const WELCOME: u32 = 0x8000_0001;
    /// Masked weights.
    pub const SETUP: u32 = 0x8000_0002;
    /// Requests.
    pub const REQUEST: u32 = 0x8000_0003;
    /// Answers.
    pub const REPLY: u32 = 0x8000_0004;
    /// Corrections.
    pub const CORRECTIONS: u32 = 0x8000_0005;
}

/// Largest piece in which setup and corrections are sent.
pub const CHUNK: usize = 8 << 20;

/// One dealer's lifetime and one set of weights: what is dealt in one means nothing in another.
pub type Epoch = [u8; 16];

/// A seed on its way, wiped when it is dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// First message to the dealer.
#[derive(Serialize, Deserialize)]
pub enum DealerHello {
    /// The server announces its model and asks for the setup seed.
    Server {
        /// Message version.
        version: u32,
        /// The model.
        card: Card,
        /// Hash of the plan that it traced.
        plan: [u8; 32],
    },
    /// A party asks for batches of a pair of server and client.
    Batches {
        /// Message version.
        version: u32,
        /// Name of the other party, as the dealer knows it.
        peer: String,
        /// Hash of the plan.
        plan: [u8; 32],
    },
}

/// The dealer's answer.
#[derive(Serialize, Deserialize)]
pub enum DealerWelcome {
    /// To the server's announcement: the seed of the weights' masks.
    Setup {
        /// The dealer's epoch.
        epoch: Epoch,
        /// Secret between dealer and server.
        seed: Secret,
    },
    /// To a request for batches.
    Ready {
        /// The dealer's epoch.
        epoch: Epoch,
    },
    /// No, and why.
    Refused(String),
}

/// Asks the dealer for the next batch of this link's pair.
#[derive(Serialize, Deserialize)]
pub struct Next {
    /// Lower numbers are of no use to this party: they are burnt.
    pub from: u64,
}

/// The dealer's answer to [`Next`].
#[derive(Serialize, Deserialize)]
pub enum Dealt {
    /// A batch, followed by its corrections where this party receives them.
    Batch {
        /// The dealer's number of it.
        id: u64,
        /// This party's seed.
        seed: Secret,
        /// Bytes of corrections that follow.
        corrections: u64,
    },
    /// No, and why.
    Refused(String),
}

/// First message of a client to the server.
#[derive(Serialize, Deserialize)]
pub struct ClientHello {
    /// Message version.
    pub version: u32,
    /// Model hash that the client insists on.
    pub model: Option<String>,
}

/// The server's answer.
#[derive(Serialize, Deserialize)]
pub enum ServerWelcome {
    /// The model; masked weights follow.
    Card {
        /// The model's public description.
        card: Card,
        /// Hash of the plan that the server traced.
        plan: [u8; 32],
        /// The dealer's epoch in which the weights are masked.
        epoch: Epoch,
        /// Bytes of masked weights.
        setup: u64,
    },
    /// No, and why.
    Refused(String),
}

/// A client's request.
#[derive(Serialize, Deserialize)]
pub enum Request {
    /// Get ready for one evaluation with a batch not below this number.
    Prepare {
        /// The client's first batch.
        from: u64,
    },
    /// Evaluate now with this batch, which both burn.
    Infer {
        /// The batch.
        id: u64,
    },
    /// The end.
    Bye,
}

/// The server's answer to [`Request::Prepare`].
#[derive(Serialize, Deserialize)]
pub enum Reply {
    /// Ready to use this batch.
    Prepared {
        /// The batch.
        id: u64,
        /// Bytes that the server received from the dealer for it.
        offline_bytes: u64,
    },
    /// No, and why.
    Refused(String),
}

/// Sends `bytes` in pieces.
///
/// # Errors
/// The link's.
pub fn send_bytes(link: &mut dyn Link, step: u32, bytes: &[u8]) -> Result<(), Error> {
    for piece in bytes.chunks(CHUNK) {
        link.send(step, piece.to_vec())?;
    }
    Ok(())
}

/// Receives `count` bytes in pieces; `progress` is told how many are here, of how many.
///
/// # Errors
/// The link's.
pub fn recv_bytes(
    link: &mut dyn Link,
    step: u32,
    count: usize,
    progress: &dyn Fn(u64, u64),
) -> Result<Vec<u8>, Error> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let piece = (count - all.len()).min(CHUNK);
        all.extend(link.recv(step, piece)?);
        progress(all.len() as u64, count as u64);
    }
    Ok(all)
}

/// Sends a control message.
///
/// # Errors
/// The link's.
pub fn send<T: Serialize>(link: &mut dyn Link, step: u32, message: &T) -> Result<(), Error> {
    Ok(control::send(link, step, message)?)
}

/// Receives a control message.
///
/// # Errors
/// The link's.
pub fn recv<T: serde::de::DeserializeOwned>(link: &mut dyn Link, step: u32) -> Result<T, Error> {
    Ok(control::recv(link, step)?)
}
