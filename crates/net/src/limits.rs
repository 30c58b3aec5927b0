//! How many links peers may have with one endpoint at a time, and whose they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::Connection;
use rustls::pki_types::CertificateDer;

/// Accepted links at a time; each costs memory and, as a rule, a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one peer.
    pub per_name: usize,
    /// Of all peers together.
    pub all: usize,
}

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

    /// A seat for one more link of `name`; the error tells the peer which limit it meets.
    pub fn take(&self, name: &str) -> Result<Seat, String> {
        let mut taken = lock(&self.taken);
        let Limits { per_name, all } = self.limits;
        if taken.seats.values().filter(|sitting| sitting.name == name).count() >= per_name {
            return Err(format!(
                "{per_name} links of `{name}` are open and more are not allowed; close one, or raise the limit there"
            ));
        }
        if taken.seats.len() >= all {
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
}
