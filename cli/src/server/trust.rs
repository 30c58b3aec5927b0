//! Whether the dealer may be used: once it did what no honest one does, never again in the life of this process.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use crate::messages::Epoch;

/// One for the whole server: what a pool has seen holds for all sessions and epochs after it.
#[derive(Default)]
pub struct Trust(Mutex<State>);

#[derive(Default)]
struct State {
    lost: Option<String>,
    /// The highest number of each epoch that is over: one that comes again, and with it numbers, is a dealer whose memory
    /// was restored.
    lasts: HashMap<Epoch, u64>,
}

impl Trust {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Notes what the dealer did; the first reason stands.
    pub fn lose(&self, why: String) {
        self.lock().lost.get_or_insert(why);
    }

    /// What the dealer did, if it did something.
    pub fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// Notes the highest number that the dealer gave in an epoch.
    pub fn note(&self, epoch: Epoch, last: u64) {
        let mut state = self.lock();
        let noted = state.lasts.entry(epoch).or_default();
        *noted = last.max(*noted);
    }

    /// The highest number that was noted of an epoch.
    pub fn last(&self, epoch: &Epoch) -> Option<u64> {
        self.lock().lasts.get(epoch).copied()
    }
}
