//! What a pool's threads wait by. The tests of schedules put other types in this place, whose threads they switch themselves.

pub use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};

/// Whether threads are the system's.
#[cfg(test)]
pub const REAL: bool = true;

/// Runs a test.
#[cfg(test)]
pub fn explored(test: impl Fn() + Send + Sync + 'static) {
    test();
}
