//! The shares' half of a step: the goal's gradient, budgets that are met, and Adam.

use super::{Found, Goal, Progress, Search};
use crate::Error;
use crate::search::choose::within;
use crate::search::space::Table;

const BETA: [f64; 2] = [0.9, 0.99];
/// Share of the run in which the shares learn from the pictures alone.
const FREE: f64 = 0.3;

impl Search<'_> {
    /// Adds the goal's gradient, and takes an architecture for every budget that is met.
    pub(super) fn press(
        &mut self,
        shares: &Table,
        gradient: &mut Table,
        progress: f64,
    ) -> Result<(), Error> {
        match &self.goal {
            Goal::First(weight) => gradient.iter_mut().for_each(|site| site[0] += weight),
            Goal::Latency { .. } if progress < FREE => {}
            Goal::Latency { latencies, oracle } => {
                let (expected, slopes) = latencies.relaxed(shares, *oracle)?;
                let (low, high) = latencies.range();
                let scale = self.progress.pressure.lambda / (high - low).max(f64::MIN_POSITIVE);
                for (g, s) in gradient.iter_mut().flatten().zip(slopes.iter().flatten()) {
                    *g += scale * s;
                }
                self.progress.pressure.observe(expected);
                while let Some(budget) = self.progress.pressure.budget() {
                    if !self.progress.pressure.meets(expected) {
                        break;
                    }
                    self.take(budget)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the likeliest architecture within `budget`.
    pub(super) fn take(&mut self, budget: f64) -> Result<(), Error> {
        let Goal::Latency { oracle, latencies } = &self.goal else { return Ok(()) };
        let shares = self.progress.alphas.shares();
        let base = &self.state.arch;
        let (arch, latency) = within(&self.space, base, &shares, (latencies, *oracle), budget)?
            .ok_or_else(|| {
                let low = latencies.range().0;
                Error::Arch(format!(
                    "no architecture is as fast as {budget:.4} s; the fastest takes {low:.4} s"
                ))
            })?;
        let (lambda, step) = (self.progress.pressure.lambda, self.state.step);
        self.progress.found.push(Found {
            budget,
            latency,
            lambda,
            step,
            arch,
            finalists: Vec::new(),
        });
        Ok(())
    }

    /// Adam on the parameters of the shares.
    pub(super) fn follow(&mut self, gradient: &Table) {
        let t = self.state.step as i32;
        let correct = BETA.map(|b| 1.0 - b.powi(t));
        let Progress { alphas, first, second, .. } = &mut self.progress;
        for (site, row) in gradient.iter().enumerate() {
            for (i, g) in row.iter().enumerate() {
                let (m, v) = (&mut first[site][i], &mut second[site][i]);
                *m = BETA[0] * *m + (1.0 - BETA[0]) * g;
                *v = BETA[1] * *v + (1.0 - BETA[1]) * g * g;
                let step = (*m / correct[0]) / ((*v / correct[1]).sqrt() + 1e-12);
                alphas.values[site][i] -= self.rate * step;
            }
        }
    }
}
