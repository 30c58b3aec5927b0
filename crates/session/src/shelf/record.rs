//! What is known of a batch that waits.

use std::time::{Duration, SystemTime};

use sotto_protocols::plan::Traffic;

use crate::{
    card::Card,
    messages::{FolderId, Tag},
};

/// Bytes of a party's name, with zeros behind it.
const NAME: usize = 64;
/// Name, plan, model, folder, tag, three counts, the time.
pub(super) const RECORD: usize = NAME + 32 + 32 + 16 + 16 + 4 * 8;
/// A clock that is set back by so much does not burn what was stored before.
const SLACK: Duration = Duration::from_secs(3600);

/// What a batch is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Of {
    /// The other party.
    pub peer: String,
    /// Hash of the plan: of texts each length has its own.
    pub plan: [u8; 32],
    /// The model, [`described`]: all its plans have the same.
    pub model: [u8; 32],
}

/// The name of a model whose batches wait: of the salted hash of its matrices, and of all that is public about it. Another batch size,
/// format or reveal has other plans, of which none is asked for any more.
pub fn described(matrices: &[u8; 32], card: &Card) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("sotto model of made batches");
    let card = toml::to_string(card).expect("texts, numbers and names");
    *hasher.update(matrices).update(card.as_bytes()).finalize().as_bytes()
}

/// A batch that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is of.
    pub of: Of,
    /// The client's folder.
    pub folder: FolderId,
    /// Its public name, the same at both parties.
    pub tag: Tag,
    /// What crossed when it was made.
    pub traffic: Traffic,
    /// When it was stored, in microseconds of this party's clock.
    pub(super) stored: u64,
}

impl Record {
    /// Of a batch that was made just now.
    pub fn new(of: Of, (folder, tag): (FolderId, Tag), traffic: Traffic) -> Self {
        Self { of, folder, tag, traffic, stored: now().as_micros() as u64 }
    }

    /// Whether it has waited for longer than so, or was stored in what is the future by this clock: how long is then not known.
    pub(super) fn is_old(&self, longest: Duration) -> bool {
        let (now, stored) = (now(), Duration::from_micros(self.stored));
        stored + longest <= now || stored > now + SLACK
    }

    /// All bytes that crossed.
    pub fn bytes(&self) -> u64 {
        self.traffic.from_server + self.traffic.from_client
    }

    pub(super) fn encode(&self) -> [u8; RECORD] {
        let mut all = [0; RECORD];
        let Traffic { from_server, from_client, flights } = self.traffic;
        let counts = [from_server, from_client, flights, self.stored].map(u64::to_le_bytes);
        let (name, rest) = all.split_at_mut(NAME);
        name.iter_mut().zip(self.of.peer.bytes()).for_each(|(to, byte)| *to = byte);
        let Of { plan, model, .. } = &self.of;
        let fields: [&[u8]; 5] = [plan, model, &self.folder, &self.tag, counts.as_flattened()];
        rest.copy_from_slice(&fields.concat());
        all
    }

    pub(super) fn decode(bytes: &[u8; RECORD]) -> Option<Self> {
        let (name, rest) = bytes.split_at(NAME);
        let name = name.split(|byte| *byte == 0).next()?;
        let peer = String::from_utf8(name.to_vec()).ok()?;
        let of =
            Of { peer, plan: rest[..32].try_into().ok()?, model: rest[32..64].try_into().ok()? };
        let (folder, tag) = (rest[64..80].try_into().ok()?, rest[80..96].try_into().ok()?);
        let count = |i: usize| u64::from_le_bytes(std::array::from_fn(|j| rest[96 + 8 * i + j]));
        let (from_server, from_client, flights) = (count(0), count(1), count(2));
        let traffic = Traffic { from_server, from_client, flights };
        let record = Self { of, folder, tag, traffic, stored: count(3) };
        (record.encode() == *bytes).then_some(record)
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
