//! What sessions are made from.

use std::sync::Arc;

use sotto_models::length::Length;
use sotto_protocols::{plan::Plan, weights::Weights};
use sotto_session::folder::Folder;

use crate::{
    card::Card,
    dealer_link::Dealer,
    server::{room::Room, trust::Trust},
};

/// What sessions are made from.
pub struct Basis {
    /// The dealer.
    pub dealer: Dealer,
    /// The model's name.
    pub model: String,
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
}
