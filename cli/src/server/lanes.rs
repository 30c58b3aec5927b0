//! The plans that a server has open: one for pictures; of texts one for each length that clients ask for.
//!
//! A lane has its own batches, whoever supplies them. A length is public and checked before anything is traced for it. Lanes
//! of texts are bounded in number and in the memory of their batches; the one that was idle for longest gives way.

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard},
};

use sotto_models::{
    length::{Length, buckets},
    model::Input,
    private::Lengths,
};
use sotto_protocols::{plan::Plan, weights::Weights};

use super::{
    made::{Made, Room},
    make::Workplace,
    session::{Basis, Sessions},
    store::Folder,
    trust::Trust,
    usage::Usage,
};
use crate::{
    card::Card,
    config::{ServerConfig, batch_memory, least},
    dealer_link::Dealer,
    error::Error,
    refusal::Refusal,
};

/// Most lengths of texts that are open at once; the dealer keeps 16 plans.
const LANES: usize = 8;

/// Most batches that there are places for in a lane of texts, beside the fewest.
const PLACES: u64 = 6;

/// Where correlations come from.
pub enum Supply {
    /// A dealer.
    Dealer(Arc<Sessions>),
    /// Server and client.
    Peer(Workplace),
}

/// A plan, and where its batches come from.
pub struct Lane {
    /// The texts' length; `None` for pictures.
    pub length: Option<Length>,
    /// The plan.
    pub plan: Arc<Plan>,
    /// Its hash.
    pub hash: [u8; 32],
    /// Bits that an evaluation reveals.
    pub bits: u64,
    /// Its batches.
    pub supply: Supply,
    /// Memory that is kept for it, in bytes.
    memory: u64,
}

/// Which client's links use which length.
#[derive(Default)]
struct Holders(Mutex<Vec<(Arc<str>, Option<Length>)>>);

/// A client's use of a length.
struct Claim(Arc<Holders>, (Arc<str>, Option<Length>));

impl Holders {
    /// A client holds half of the lanes at most, those of idle links included: others have lengths, too.
    fn claim(self: &Arc<Self>, client: &str, length: Option<Length>) -> Result<Claim, Refusal> {
        let mut all = lock(&self.0);
        let others = all.iter().filter(|(holder, held)| &**holder == client && *held != length);
        let others = others.map(|(_, held)| held).collect::<BTreeSet<_>>().len();
        if others >= LANES / 2 {
            return Err(Refusal::Lengths(others));
        }
        let claim: (Arc<str>, _) = (client.into(), length);
        all.push(claim.clone());
        Ok(Claim(Arc::clone(self), claim))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = lock(&self.0.0);
        if let Some(at) = all.iter().position(|one| *one == self.1) {
            all.swap_remove(at);
        }
    }
}

/// A lane, for as long as a client's link uses it.
pub struct Held {
    lane: Arc<Lane>,
    _claim: Claim,
}

impl Deref for Held {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        &self.lane
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Supply::Dealer(sessions) = &self.supply {
            sessions.close();
        }
    }
}

/// What all lanes have in common.
pub struct Common {
    /// The model's description.
    pub card: Card,
    /// Salted hash of the matrices.
    pub commitment: [u8; 32],
    /// The matrices, which plans of all lengths share.
    pub weights: Arc<Weights>,
    /// What clients were charged.
    pub usage: Arc<Usage>,
    /// Where the dealer is, with the hash of no plan yet.
    pub dealer: Option<Dealer>,
    /// Where batches of pictures wait.
    pub folder: Option<Arc<Folder>>,
    /// The configuration.
    pub config: ServerConfig,
    /// What the dealer did.
    pub trust: Arc<Trust>,
}

/// All that are open, the one that was asked for last at the end.
pub struct Lanes {
    common: Common,
    open: Mutex<Vec<Arc<Lane>>>,
    /// Held while one is opened; nobody else waits for that.
    opening: Mutex<()>,
    holders: Arc<Holders>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Lanes {
    /// None yet.
    pub fn new(common: Common) -> Self {
        let (open, opening, holders) = Default::default();
        Self { common, open, opening, holders }
    }

    /// The lane of pictures, at the server's start.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no memory for it, [`Error::Model`] where there is no plan.
    pub fn pictures(&self) -> Result<(), Error> {
        let plan = self.common.card.trace(None)?.plan;
        let places = self.common.config.places(&plan)?;
        let lane = self.common.lane(None, plan, places as u64, self.common.config.pool)?;
        lock(&self.open).push(Arc::new(lane));
        Ok(())
    }

    /// The lane for texts of a length, or for pictures, for a client's link; opened where it is not.
    ///
    /// # Errors
    /// Why a client does not get it.
    pub fn get(
        &self,
        input: &Input,
        length: Option<Length>,
        client: &str,
    ) -> Result<Held, Refusal> {
        let claim = self.holders.claim(client, length)?;
        Ok(Held { lane: self.lane(input, length)?, _claim: claim })
    }

    fn lane(&self, input: &Input, length: Option<Length>) -> Result<Arc<Lane>, Refusal> {
        match (input, length) {
            (Input::Words(words), Some(length)) => self.accepts(length, words.positions)?,
            (Input::Words(_), None) => return Err(Refusal::OtherInput("texts".into())),
            (_, None) => {}
            (_, Some(_)) => return Err(Refusal::OtherInput("pictures".into())),
        }
        if let Some(lane) = self.find(length) {
            return Ok(lane);
        }
        let _one = lock(&self.opening);
        if let Some(lane) = self.find(length) {
            return Ok(lane);
        }
        let lane = self.texts(length)?;
        lock(&self.open).push(Arc::clone(&lane));
        Ok(lane)
    }

    /// Whether texts of a length are served, of which the longest has `most` words.
    fn accepts(&self, length: Length, most: usize) -> Result<(), Refusal> {
        let (Length::Public(rows) | Length::Hidden(rows)) = length;
        let offered = self.common.card.options.lengths;
        match length {
            Length::Hidden(_) if offered == Lengths::Public => Err(Refusal::PublicLength),
            _ if !(1..=most).contains(&length.rows()) => {
                Err(Refusal::Length { rows, most: most as u32 })
            }
            Length::Hidden(_) if !buckets(most).contains(&rows) => Err(Refusal::Bucket(rows)),
            _ => Ok(()),
        }
    }

    /// Whether batches can be had now: in some lane, where any is open.
    ///
    /// # Errors
    /// What the dealer or a pool lacks.
    pub fn ready(&self) -> Result<(), String> {
        let open = lock(&self.open);
        let ready = |lane: &Arc<Lane>| match &lane.supply {
            Supply::Dealer(sessions) => sessions.ready(),
            // Batches are made with each client that comes.
            Supply::Peer(_) => Ok(()),
        };
        let mut all = open.iter().map(ready);
        let first = all.next().unwrap_or(Ok(()));
        if first.is_err() && all.any(|other| other.is_ok()) { Ok(()) } else { first }
    }

    /// Batches that wait for a client, and those that clients hold or are evaluating with.
    pub fn batches(&self) -> [usize; 2] {
        let open = lock(&self.open);
        let each = open.iter().map(|lane| match &lane.supply {
            Supply::Dealer(sessions) => sessions.batches(),
            Supply::Peer(workplace) => workplace.made.batches(),
        });
        each.fold([0, 0], |[ready, held], [r, h]| [ready + r, held + h])
    }

    fn find(&self, length: Option<Length>) -> Option<Arc<Lane>> {
        let mut open = lock(&self.open);
        let at = open.iter().position(|lane| lane.length == length)?;
        let lane = open.remove(at);
        open.push(Arc::clone(&lane));
        Some(lane)
    }

    fn texts(&self, length: Option<Length>) -> Result<Arc<Lane>, Refusal> {
        let common = &self.common;
        let unusable = |e: Error| {
            let length = length.map(|length| length.to_string()).unwrap_or_default();
            tracing::warn!("texts of {length} tokens: {e}");
            Refusal::Card(e.to_string())
        };
        let plan = common.card.trace(length).map_err(unusable)?.plan;
        let (all, batch) = (
            common.config.memory.saturating_mul(1 << 20),
            batch_memory(&plan, common.config.source),
        );
        let least = least(common.config.source) as u64;
        let needed = common.config.needs(&plan);
        if needed > all {
            let rows = length.map_or(0, |length| length.rows() as u32);
            return Err(Refusal::Memory { rows, needed: needed.div_ceil(1 << 20) });
        }
        // Half of it is for other lengths, where it can be.
        let wanted = (all / 2 / batch).clamp(least, PLACES + least);
        let places = loop {
            let mut open = lock(&self.open);
            let taken: u64 = open.iter().map(|lane| lane.memory).sum();
            let places = all.saturating_sub(taken) / batch;
            if places >= least && open.len() < LANES {
                break places.min(wanted);
            }
            let idle = open.iter().position(|lane| Arc::strong_count(lane) == 1);
            drop(idle.map(|at| open.remove(at)).ok_or(Refusal::Lengths(open.len()))?);
        };
        // One is in use, the others wait for whoever comes.
        let pool = common.config.pool.min(places as usize - 1);
        let lane = common.lane(length, plan, places, pool).map_err(unusable)?;
        Ok(Arc::new(lane))
    }
}

impl Common {
    fn lane(
        &self,
        length: Option<Length>,
        plan: Arc<Plan>,
        places: u64,
        pool: usize,
    ) -> Result<Lane, Error> {
        let batch = batch_memory(&plan, self.config.source);
        let batches = places * batch;
        let (hash, bits, places) = (plan.hash(), plan.revealed_bits(), places as usize);
        // Half of them for one client, what it evaluates with included, but where there is no other.
        let share = (places / self.config.clients.len().clamp(1, 2)).max(1);
        let supply = match &self.dealer {
            Some(dealer) => Supply::Dealer(Sessions::start(Basis {
                dealer: Dealer { plan: hash, ..dealer.clone() },
                card: self.card.clone(),
                length,
                commitment: self.commitment,
                plan: Arc::clone(&plan),
                weights: Arc::clone(&self.weights),
                pool,
                places,
                share,
                folder: self.folder.clone(),
                server: self.config.own.name.clone(),
                audit: self.config.audit()?,
                trust: Arc::clone(&self.trust),
            })),
            None => Supply::Peer(Workplace::new(
                (&plan, self.commitment),
                &self.weights,
                Made::new(Room { memory: batches, batch, share }),
                Arc::clone(&self.usage),
            )?),
        };
        Ok(Lane { length, plan, hash, bits, supply, memory: batches })
    }
}
