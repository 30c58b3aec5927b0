//! How many links peers may have with one endpoint at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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

/// The accepted links of one endpoint, whether [`crate::Endpoint::accept`] gave them out or not.
pub(crate) struct Seats {
    limits: Limits,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One link's seat, free again on drop.
pub(crate) struct Seat {
    taken: Arc<Mutex<HashMap<String, usize>>>,
    name: String,
}

impl Seats {
    pub fn new(limits: Limits) -> Self {
        Seats { limits, taken: Arc::default() }
    }

    /// A seat for one more link of `name`; the error tells the peer which limit it meets.
    pub fn take(&self, name: &str) -> Result<Seat, String> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Limits { per_name, all } = self.limits;
        if taken.get(name).is_some_and(|&links| links >= per_name) {
            return Err(format!(
                "{per_name} links of `{name}` are open and more are not allowed; close one, or raise the limit there"
            ));
        }
        if taken.values().sum::<usize>() >= all {
            return Err(format!(
                "{all} links are open and more are not allowed; try again later, or raise the limit there"
            ));
        }
        *taken.entry(name.to_owned()).or_default() += 1;
        Ok(Seat { taken: Arc::clone(&self.taken), name: name.to_owned() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = taken.get_mut(&self.name) {
            *links -= 1;
        }
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
