//! Control messages between the processes. Payloads of the protocol itself never pass through here.

use serde::{Deserialize, Serialize};
use sotto_models::length::Length;
pub use sotto_net::AHEAD;
use sotto_net::{Link, control};
use zeroize::Zeroizing;

use crate::{card::Card, error::Error, refusal::Refusal, source::Source};
pub use crate::{secret::Secret, step};

/// Version of these messages. 2: numbers come from the server and are claimed with its ticket, tags of deals, typed
/// refusals. 3: seeds come under a pad; correlations that two parties make. 4: texts, a plan for each length; other streams
/// of transfers. 6: hidden lengths, names of a setup's steps. 7: formats of fewer bits, digests of thresholds, batches of
/// texts that wait on disks, a client's only folder. 8: who waits for the server's dealer is told so.
pub const VERSION: u32 = 8;

/// Largest piece in which setup and corrections are sent.
pub const CHUNK: usize = 1 << 20;

/// Batches of a server that the dealer keeps for one of their sides; older ones are burnt.
pub const OPEN: usize = 4096;

/// One dealer's lifetime, one set of weights and one plan: what is dealt in one means nothing in another.
pub type Epoch = [u8; 16];

/// One dealer's lifetime and one set of weights: its masks are the same in all plans of the model.
pub type Masks = [u8; 16];

/// What the client shows the dealer to get its part of a batch: 16 bytes that the dealer gave the server with the
/// batch, and the server to the one client that it assigned the batch to.
pub type Ticket = Zeroizing<[u8; 16]>;

/// A number of each party's, for the name of a setup of theirs.
pub type Nonce = [u8; 32];

/// The public tag of a deal: equal at two parties only if they hold the two sides of one deal.
pub type Tag = [u8; 16];

/// The name of a client's pool folder.
pub type FolderId = [u8; 16];

/// What waits in a client's pool folder, of what it made with a server.
#[derive(Clone, Serialize, Deserialize)]
pub struct Waits {
    /// The folder.
    pub folder: FolderId,
    /// All of them.
    pub tags: Vec<Tag>,
    /// The client has no other folder for this server: what the server keeps for others was lost, and is burnt.
    pub alone: bool,
}

/// What a client says of a batch that is to wait on both disks.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keep {
    /// In which folder.
    pub folder: FolderId,
    /// What the key of the client's part comes under.
    pub pad: Secret,
}

/// First message to the dealer.
#[derive(Serialize, Deserialize)]
pub enum DealerHello {
    /// The server announces its model and asks for the setup seed.
    Server {
        /// Message version.
        version: u32,
        /// The model.
        card: Card,
        /// The texts' length; `None` for pictures.
        length: Option<Length>,
        /// Hash of the plan that it traced.
        plan: [u8; 32],
        /// Salted hash of the matrices: other matrices never meet the same masks.
        commitment: [u8; 32],
    },
    /// A party asks for batches.
    Batches {
        /// Message version.
        version: u32,
        /// At the client: the server's name, as the dealer knows it.
        server: Option<String>,
        /// Hash of the plan.
        plan: [u8; 32],
        /// The epoch that the party is in.
        epoch: Epoch,
    },
}

/// The dealer's answer.
#[derive(Serialize, Deserialize)]
pub enum DealerWelcome {
    /// To the server's announcement: the seed of the weights' masks.
    Setup {
        /// The dealer's epoch.
        epoch: Epoch,
        /// The name of the weights' masks.
        masks: Masks,
        /// Secret between dealer and server.
        seed: Secret,
    },
    /// To a request for batches.
    Ready,
    /// No, and why.
    Refused(Refusal),
}

/// A request for a batch.
#[derive(Serialize, Deserialize)]
pub enum Ask {
    /// The server: a new batch.
    New {
        /// With its seed, under this pad. Without, for a batch that waits on a disk, it is asked for when it is used.
        pad: Option<Secret>,
    },
    /// The server: the seed of a batch that waited, which is given once.
    Seed {
        /// The batch.
        id: u64,
        /// What the seed comes under.
        pad: Secret,
    },
    /// The server: both seeds of a batch that nobody will use, to see whether it was dealt as it should be.
    Audit {
        /// The batch.
        id: u64,
    },
    /// The client: its part of a batch that the server assigned to it, which is given once.
    Claim {
        /// The batch.
        id: u64,
        /// Its ticket.
        ticket: Ticket,
        /// What the seed comes under.
        pad: Secret,
    },
}

/// The dealer's answer to [`Ask`].
#[derive(Serialize, Deserialize)]
pub enum Dealt {
    /// A batch, followed by its corrections where this party receives them.
    Batch {
        /// The dealer's number of it.
        id: u64,
        /// For the client to whom the server assigns it.
        ticket: Ticket,
        /// The deal's public tag.
        tag: Tag,
        /// Fingerprint of the other party's seed.
        peer: [u8; 32],
        /// This party's seed, under the pad of the question; `None` where it was not asked for.
        seed: Option<Secret>,
        /// Bytes of corrections that follow.
        corrections: u64,
    },
    /// The seed that was asked for, under its pad.
    Seed(Secret),
    /// Both seeds of a batch that is burnt: server, client.
    Audit([Secret; 2]),
    /// No, and why.
    Refused(Refusal),
}

/// First message of a client to the server.
#[derive(Clone, Serialize, Deserialize)]
pub struct ClientHello {
    /// Message version.
    pub version: u32,
    /// Which of the server's models; the one that it serves to this client without.
    pub name: Option<String>,
    /// Hash of the model that the client insists on.
    pub model: Option<String>,
    /// The texts' length, or the bucket that hides it; `None` for pictures. A connection has one plan.
    pub length: Option<Length>,
    /// The masks under which the client holds the weights: they are not sent again.
    pub held: Option<Masks>,
    /// An epoch that the dealer no longer knows.
    pub stale: Option<Epoch>,
    /// Where the client takes correlations from.
    pub source: Source,
    /// Where batches wait that were made with the server: it burns those of this folder that are not among them, where
    /// it is the only one those of all others, too. On a link for making the folder alone counts: where the quota lacks for a batch,
    /// those of others give way.
    pub waits: Option<Waits>,
    /// This link is for making correlations, not for evaluations: the client's part of its name.
    pub making: Option<Nonce>,
}

impl ClientHello {
    /// Of somebody who takes any model of pictures and holds nothing, for evaluations.
    pub fn new(source: Source) -> Self {
        let (name, model, length, held, stale) = (None, None, None, None, None);
        let (version, waits, making) = (VERSION, None, None);
        Self { version, name, model, length, held, stale, source, waits, making }
    }
}

/// The server's answer.
#[expect(clippy::large_enum_variant, reason = "there is one for each link")]
#[derive(Serialize, Deserialize)]
pub enum ServerWelcome {
    /// The model; masked weights follow where the client does not hold them.
    Card {
        /// The model's name at this server.
        name: String,
        /// The model's public description.
        card: Card,
        /// Hash of the plan that the server traced.
        plan: [u8; 32],
        /// Salted hash of the matrices.
        model: [u8; 32],
        /// The dealer's epoch of this plan.
        epoch: Epoch,
        /// The masks of the weights.
        masks: Masks,
        /// Bytes of masked weights that follow.
        setup: u64,
        /// Batches that it makes with this client and keeps on its disk until they are used; 0 where it keeps none.
        keeps: u32,
        /// Of those that the client says wait, what waits here, too: the others are burnt at both.
        waits: Vec<Tag>,
    },
    /// To a link for making: the server's part of its name. The setup follows.
    Making(Nonce),
    /// No, and why.
    Refused(Refusal),
    /// Once, before another of these: the server waits for its dealer, which does not answer.
    Waiting {
        /// The dealer, and where it should be.
        dealer: String,
    },
}

/// A client's request.
#[derive(Serialize, Deserialize)]
pub enum Request {
    /// Get ready for one evaluation.
    Prepare {
        /// A batch that was assigned before; a new one where it is none or burnt.
        held: Option<u64>,
        /// How many more the client would like to have assigned.
        ahead: u32,
    },
    /// Evaluate now with this batch, which both burn.
    Infer {
        /// The batch.
        id: u64,
        /// Its tag, as the client has it from the dealer.
        tag: Tag,
    },
    /// On a link for making: make a batch now.
    Make {
        /// Where it is to wait on both disks.
        keep: Option<Keep>,
    },
    /// A batch that waits on both disks is to be used.
    Wake {
        /// Its public name.
        tag: Tag,
    },
    /// The same one is opened now, at both parties.
    Open {
        /// What the server's part is sealed with, given once.
        key: Secret,
    },
    /// The same: what is made next is for texts of another length. Transfers and keys stay.
    Length {
        /// The texts' length.
        length: Length,
    },
    /// The end.
    Bye,
}

/// A batch that the server assigned to this connection.
#[derive(Clone, Serialize, Deserialize)]
pub struct Assigned {
    /// The batch.
    pub id: u64,
    /// Shown to the dealer for the client's part.
    pub ticket: Ticket,
}

/// The server's answers to [`Request::Prepare`]: an assignment where a new batch was needed, any number of waits, and at
/// last that it is ready.
#[derive(Serialize, Deserialize)]
pub enum Reply {
    /// This batch is the client's.
    Assigned(Assigned),
    /// The client's rate is used up: it is let in when that many seconds are over.
    Paced {
        /// Seconds.
        left: u64,
    },
    /// Corrections are still coming in.
    Waiting {
        /// Bytes so far.
        got: u64,
        /// Of how many.
        all: u64,
    },
    /// Ready to use this batch.
    Ready {
        /// The batch.
        id: u64,
        /// The deal's public tag.
        tag: Tag,
        /// Bytes that the server received from the dealer for it.
        offline_bytes: u64,
        /// More batches for this client.
        ahead: Vec<Assigned>,
    },
    /// To [`Request::Length`]: so it is.
    Length {
        /// Hash of the plan.
        plan: [u8; 32],
    },
    /// To [`Request::Make`]: the batch's number; making it follows.
    Making {
        /// The batch.
        id: u64,
        /// Where it is to wait on both disks, too: what the key of the server's part comes under.
        pad: Option<Secret>,
    },
    /// To [`Request::Wake`]: it is here, and there is a place for it.
    Waking {
        /// The number under which it is used.
        id: u64,
    },
    /// To [`Request::Open`]: it is ready.
    Woken {
        /// What the client's part is sealed with, given once.
        key: Secret,
    },
    /// No, and why.
    Refused(Refusal),
}

/// What a peer sent that was not asked for.
pub fn unasked(link: &dyn Link, step: u32) -> Error {
    let (peer, why) = (link.peer().to_owned(), "more than was asked for".into());
    Error::Net(sotto_net::Error::Garbage { peer, step, why })
}

/// Sends `bytes` in pieces.
///
/// # Errors
/// The link's.
pub fn send_bytes(link: &mut dyn Link, step: u32, bytes: &[u8]) -> Result<(), Error> {
    send_pieces(link, step, bytes.chunks(CHUNK).map(<[u8]>::to_vec))
}

/// Sends bytes that are made piece by piece, as [`recv_bytes`] takes them, however long the pieces are.
///
/// # Errors
/// The link's.
pub fn send_pieces(
    link: &mut dyn Link,
    step: u32,
    pieces: impl Iterator<Item = Vec<u8>>,
) -> Result<(), Error> {
    let mut waiting = Vec::with_capacity(CHUNK);
    for piece in pieces {
        let mut rest = &piece[..];
        while waiting.len() + rest.len() >= CHUNK {
            let (head, tail) = rest.split_at(CHUNK - waiting.len());
            waiting.extend_from_slice(head);
            rest = tail;
            link.room(AHEAD)?;
            link.send(step, std::mem::replace(&mut waiting, Vec::with_capacity(CHUNK)))?;
        }
        waiting.extend_from_slice(rest);
    }
    if !waiting.is_empty() {
        link.room(AHEAD)?;
        link.send(step, waiting)?;
    }
    Ok(())
}

/// What is told how many bytes are here, of how many; its error ends what receives them.
pub type Progress<'a> = dyn Fn(u64, u64) -> Result<(), Error> + 'a;

/// Receives `count` bytes in pieces.
///
/// # Errors
/// The link's, and those of `progress`.
pub fn recv_bytes(
    link: &mut dyn Link,
    step: u32,
    count: usize,
    progress: &Progress<'_>,
) -> Result<Vec<u8>, Error> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let piece = (count - all.len()).min(CHUNK);
        all.extend(link.recv(step, piece)?);
        progress(all.len() as u64, count as u64)?;
    }
    Ok(all)
}

/// Sends a control message.
///
/// # Errors
/// The link's.
pub fn send<T: Serialize>(link: &mut dyn Link, step: u32, message: &T) -> Result<(), Error> {
    // Who asks and does not read the answers waits for them.
    link.room(AHEAD)?;
    Ok(control::send(link, step, message)?)
}

/// Receives a control message.
///
/// # Errors
/// The link's.
pub fn recv<T: serde::de::DeserializeOwned>(link: &mut dyn Link, step: u32) -> Result<T, Error> {
    Ok(control::recv(link, step)?)
}

/// Receives the server's answer to a greeting. `told` learns for which dealer the server waits, where it says so first.
///
/// # Errors
/// The link's.
pub fn welcome(link: &mut dyn Link, told: impl FnOnce(String)) -> Result<ServerWelcome, Error> {
    match recv(link, step::WELCOME)? {
        ServerWelcome::Waiting { dealer } => {
            told(dealer);
            recv(link, step::WELCOME)
        }
        welcome => Ok(welcome),
    }
}
