//! A party: walks the plan's levels with its share of everything.

mod evaluation;
mod lockstep;

use sotto_link::Link;

pub use crate::run::{Factor, Prepare, Run, Value};
use crate::{
    batch::Staged,
    error::Error,
    matrices::Weights,
    plan::{Plan, Traffic},
    spec::Role,
};
pub use evaluation::{Evaluation, Turn};
pub use lockstep::lockstep;

/// What an evaluation gave to a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The plan's outputs as signed integers, at the client; empty at the server.
    pub outputs: Vec<Vec<i64>>,
    /// Measured traffic.
    pub traffic: Traffic,
}

/// One party of an evaluation.
#[derive(Clone, Copy)]
pub struct Party<'a> {
    /// Which one.
    pub role: Role,
    /// The plan.
    pub plan: &'a Plan,
    /// Its weights.
    pub weights: &'a Weights,
}

impl Party<'_> {
    /// Evaluates the plan once over a link, with `staged` correlations and inputs as [`Evaluation::new`] takes them.
    ///
    /// # Errors
    /// [`Error::Link`] when the peer vanishes, hangs or is out of step; [`Error::Input`] as [`Evaluation::new`].
    pub fn evaluate(
        &self,
        link: &mut dyn Link,
        staged: Staged,
        inputs: &[Vec<i64>],
    ) -> Result<Evaluated, Error> {
        Evaluation::new(self, staged, inputs)?.run(link)
    }
}
