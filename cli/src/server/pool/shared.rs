//! What a pool's connections and its threads share.

use std::{sync::Arc, time::Duration};

use super::{
    super::sync::{Condvar, Mutex, MutexGuard},
    Terms,
    state::State,
};
use crate::{error::Error, refusal::Refusal};

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) terms: Terms,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Waits for a change, at most for `time`.
    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        time: Duration,
    ) -> MutexGuard<'a, State> {
        match self.changed.wait_timeout(state, time) {
            Ok((state, _)) => state,
            Err(e) => e.into_inner().0,
        }
    }

    pub(super) fn failed(&self, state: &mut State, e: &Error) {
        tracing::warn!("supply of correlations: {e}");
        // Clients are told; our folders are not their business.
        state.failure = Some(match e {
            Error::Config(_) | Error::Io { .. } | Error::Check(_) => {
                Refusal::Exhausted("its disk does not take a batch, its log says more".into())
            }
            // Nothing that one waits for would change it.
            Error::Net(sotto_net::Error::Identity { .. }) => Refusal::NoDealer(e.to_string()),
            e => Refusal::Exhausted(e.to_string()),
        });
        self.changed.notify_all();
    }
}

/// The place of a batch that is in use, until the evaluation is over.
pub struct Place(pub(super) Arc<Shared>, pub(super) Arc<str>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if let Some(at) = state.in_use.iter().position(|name| *name == self.1) {
            state.in_use.swap_remove(at);
        }
        self.0.changed.notify_all();
    }
}
