//! What sessions are made from, and what outlives them: the masked weights.

use std::sync::{Arc, Mutex};

use sotto_crypto::Seed;
use sotto_models::length::Length;
use sotto_protocols::{
    plan::Plan,
    weights::{SetupMasks, Weights, setup_message},
};
use sotto_session::folder::Folder;

use crate::{
    card::Card,
    dealer_link::Dealer,
    messages::Masks,
    server::{room::Room, trust::Trust},
};

/// The weights under the dealer's masks, once for all sessions of a model.
pub struct Masked {
    name: Masks,
    setup: Arc<Vec<u8>>,
    masks: Arc<SetupMasks>,
}

/// What sessions are made from.
pub struct Basis {
    /// The dealer.
    pub dealer: Dealer,
    /// What is announced to it.
    pub card: Card,
    /// The texts' length; `None` for pictures.
    pub length: Option<Length>,
    /// Salted hash of the matrices.
    pub commitment: [u8; 32],
    /// The plan.
    pub plan: Arc<Plan>,
    /// The server's weights.
    pub weights: Arc<Weights>,
    /// Batches that there is memory for, and that are kept ready.
    pub room: Arc<Room>,
    /// Where batches wait.
    pub folder: Option<Arc<Folder>>,
    /// Our name, as the dealer knows it.
    pub server: String,
    /// Share of the dealer's batches that are looked at.
    pub audit: f64,
    /// What the dealer did before, in whatever session.
    pub trust: Arc<Trust>,
    /// What was masked last, in whatever session.
    pub masked: Arc<Mutex<Option<Masked>>>,
}

impl Basis {
    /// The weights under the masks of this name and seed.
    pub(super) fn masked(&self, name: Masks, seed: &Seed) -> (Arc<Vec<u8>>, Arc<SetupMasks>) {
        let mut known = self.masked.lock().unwrap_or_else(|e| e.into_inner());
        // Of the same matrices in any plan: the dealer's name of the masks is theirs, too.
        let masked = match known.take().filter(|masked| masked.name == name) {
            Some(masked) => masked,
            None => {
                let masks = Arc::new(SetupMasks::expand(&self.plan, seed));
                let setup = setup_message(&self.plan, self.weights.all_plain(), &masks);
                Masked { name, setup: Arc::new(setup), masks }
            }
        };
        let Masked { setup, masks, .. } = known.insert(masked);
        (Arc::clone(setup), Arc::clone(masks))
    }
}
