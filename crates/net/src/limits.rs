//! How many links peers may have with one endpoint at a time, and whose they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::Connection;
use rustls::pki_types::CertificateDer;

use crate::congestion;
use crate::failure::ABANDONED;

/// Accepted links at a time; each costs memory and, as a rule, a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one peer.
    pub per_name: usize,
    /// Of all peers together.
    pub all: usize,
}

/// Links that nobody needs more of.
const USUAL: usize = 4;

/// What a peer is told whose link is ended for another's.
const WHY: &[u8] = b"others wait for room, and this peer has more links than all others";

impl Default for Limits {
    fn default() -> Self {
        Limits { per_name: 16, all: 256 }
    }
}

/// Who sits there: the certificate that it showed, and its connection.
struct Sitting {
    name: String,
    shown: Option<(CertificateDer<'static>, Connection)>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Sitting>,
}

impl Taken {
    fn of(&self, name: &str) -> impl Iterator<Item = u64> {
        let theirs = self.seats.iter().filter(move |(_, sitting)| sitting.name == name);
        theirs.map(|(number, _)| *number)
    }

    /// Frees a seat of whoever has most, where those are more than usual.
    fn give_way(&mut self) -> bool {
        let mut held: HashMap<&str, usize> = HashMap::new();
        for sitting in self.seats.values() {
            *held.entry(&sitting.name).or_default() += 1;
        }
        let most = held.into_iter().max_by_key(|(_, held)| *held).filter(|(_, held)| *held > USUAL);
        let Some(oldest) = most.and_then(|(name, _)| self.of(name).min()) else { return false };
        if let Some((_, link)) = self.seats.remove(&oldest).and_then(|sitting| sitting.shown) {
            congestion::close(&link, ABANDONED, WHY);
        }
        true
    }
}

/// The accepted links of one endpoint, whether [`crate::Endpoint::accept`] gave them out or not.
#[derive(Clone)]
pub(crate) struct Seats {
    limits: Limits,
    taken: Arc<Mutex<Taken>>,
}

/// One link's seat, free again on drop.
pub(crate) struct Seat {
    taken: Arc<Mutex<Taken>>,
    number: u64,
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seats {
    pub fn new(limits: Limits) -> Self {
        Seats { limits, taken: Arc::default() }
    }

    /// A seat for one more link of `name`; the error tells the peer which limit it meets. Where all are taken, who has none gets
    /// the oldest of whoever has most, and more than [`USUAL`]: that link is ended.
    pub fn take(&self, name: &str) -> Result<Seat, String> {
        let mut taken = lock(&self.taken);
        let Limits { per_name, all } = self.limits;
        let theirs = taken.of(name).count();
        if theirs >= per_name {
            return Err(format!(
                "{per_name} links of `{name}` are open and more are not allowed; close one, or raise the limit there"
            ));
        }
        if taken.seats.len() >= all && !(theirs == 0 && taken.give_way()) {
            return Err(format!(
                "{all} links are open and more are not allowed; try again later, or raise the limit there"
            ));
        }
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Sitting { name: name.to_owned(), shown: None });
        Ok(Seat { taken: Arc::clone(&self.taken), number })
    }

    /// The links whose peers showed a certificate that is not `welcome`.
    pub fn unwelcome(&self, welcome: impl Fn(&[u8]) -> bool) -> Vec<Connection> {
        let taken = lock(&self.taken);
        let shown = taken.seats.values().filter_map(|sitting| sitting.shown.as_ref());
        shown.filter(|(shown, _)| !welcome(shown)).map(|(_, link)| link.clone()).collect()
    }
}

impl Seat {
    /// Whose link sits there.
    pub fn sits(&self, shown: &CertificateDer<'static>, link: &Connection) {
        if let Some(sitting) = lock(&self.taken).seats.get_mut(&self.number) {
            sitting.shown = Some((shown.clone(), link.clone()));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.taken).seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_count() {
        let seats = Seats::new(Limits { per_name: 2, all: 3 });
        let first = seats.take("a").unwrap();
        let _second = seats.take("a").unwrap();
        let why = seats.take("a").err().unwrap();
        assert!(why.contains("2 links of `a`"), "{why}");
        let _other = seats.take("b").unwrap();
        let why = seats.take("b").err().unwrap();
        assert!(why.starts_with("3 links"), "{why}");
        drop(first);
        let _again = seats.take("a").unwrap();
        assert!(seats.take("b").is_err());
    }

    #[test]
    fn one_who_has_none_gets_a_seat_of_whoever_has_most() {
        let seats = Seats::new(Limits { per_name: 6, all: 12 });
        let mut held: Vec<_> = (0..6).map(|_| seats.take("a").unwrap()).collect();
        held.extend((0..6).map(|_| seats.take("b").unwrap()));
        let fair: Vec<_> = ["c", "d", "e", "f"].map(|name| seats.take(name).unwrap()).into();
        assert_eq!(lock(&seats.taken).seats.len(), 12);
        for name in ["a", "b"] {
            assert_eq!(lock(&seats.taken).of(name).count(), USUAL);
            assert!(seats.take(name).is_err(), "what it lost is not there to take again");
        }
        assert!(seats.take("c").is_err(), "for those who have none");
        assert!(seats.take("g").is_err(), "nobody has more than is usual");
        // The links that were ended are dropped some time, and free no seat twice.
        drop(held);
        assert_eq!(lock(&seats.taken).seats.len(), fair.len());
    }
}
