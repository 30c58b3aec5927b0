//! Whether the dealer may be used: once it did what no honest one does, never again in the life of this process.

use std::sync::{Mutex, MutexGuard};

/// One for the whole server: what a pool has seen holds for all sessions and epochs after it.
#[derive(Default)]
pub struct Trust(Mutex<Option<String>>);

impl Trust {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Notes what the dealer did; the first reason stands.
    pub fn lose(&self, why: String) {
        self.lock().get_or_insert(why);
    }

    /// What the dealer did, if it did something.
    pub fn lost(&self) -> Option<String> {
        self.lock().clone()
    }
}
