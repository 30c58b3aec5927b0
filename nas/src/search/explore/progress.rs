//! What a search is after and how far it is.

use serde::{Deserialize, Serialize};
use sotto_models::Arch;

use crate::search::latency::{Latencies, Oracle};
use crate::search::polish::Finalist;
use crate::search::schedule::Pressure;
use crate::search::space::{Alphas, Table};

/// What presses on the shares.
pub enum Goal<'a> {
    /// Latency, until every budget is met.
    Latency {
        /// Predicts it.
        oracle: &'a dyn Oracle,
        /// The same as tables.
        latencies: &'a Latencies,
    },
    /// A constant weight on the sum of the first options' shares (MPCViT's release: 1e-5).
    First(f64),
}

/// The architecture that the shares chose for a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The latency that it was to stay below, seconds.
    pub budget: f64,
    /// Its latency by the oracle, seconds.
    pub latency: f64,
    /// The pressure when the budget was met.
    pub lambda: f64,
    /// The step.
    pub step: usize,
    /// The architecture.
    pub arch: Arch,
    /// What is trained for this budget, the best by the shared weights first; empty until all searches have ended.
    #[serde(default)]
    pub finalists: Vec<Finalist>,
}

/// What a search knows besides its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The parameters of the shares.
    pub alphas: Alphas,
    pub(super) first: Table,
    pub(super) second: Table,
    /// The pressure and the budgets.
    pub pressure: Pressure,
    /// What was found so far.
    pub found: Vec<Found>,
}
