//! How hard the search presses on latency: harder whenever pressing has stopped helping, until one
//! budget after the other is met.
//!
//! Source: PriViT (Dhyani et al., 2023) grows its penalty by a tenth whenever the count that it
//! wants to lower has stopped falling. Here the count is the expected latency, and a run does not
//! end at the first budget: it goes on to the next lower one.

use serde::{Deserialize, Serialize};

/// Steps whose mean latency is compared with the best mean so far.
const WINDOW: usize = 10;
/// The least relative fall of a window's mean that counts as falling.
const FALL: f64 = 2e-3;
/// Growth of the pressure when the latency stops falling.
const GROWTH: f64 = 1.1;

/// The penalty's weight and the budgets that are still to be met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Weight of the relaxed latency, in units of the space's whole range, in the loss.
    pub lambda: f64,
    budgets: Vec<f64>,
    met: usize,
    /// The best window's mean; none before the first window of a budget.
    best: Option<f64>,
    sum: f64,
    count: usize,
}

impl Pressure {
    /// A pressure that starts at `lambda` and ends when the lowest budget is met.
    pub fn new(lambda: f64, mut budgets: Vec<f64>) -> Self {
        budgets.sort_by(|a, b| b.total_cmp(a));
        Self { lambda, budgets, met: 0, best: None, sum: 0.0, count: 0 }
    }

    /// The next budget; none when all are met.
    pub fn budget(&self) -> Option<f64> {
        self.budgets.get(self.met).copied()
    }

    /// Takes one step's expected latency into account; true when it meets the budget, which is
    /// then over: call again with the same latency for the next.
    pub fn meets(&mut self, expected: f64) -> bool {
        let met = self.budget().is_some_and(|budget| expected <= budget);
        if met {
            self.met += 1;
            (self.best, self.sum, self.count) = (None, 0.0, 0);
        }
        met
    }

    /// Presses harder if the latency has stopped falling.
    pub fn observe(&mut self, expected: f64) {
        self.sum += expected;
        self.count += 1;
        if self.count < WINDOW {
            return;
        }
        let mean = self.sum / self.count as f64;
        if self.best.is_some_and(|best| mean > best * (1.0 - FALL)) {
            self.lambda *= GROWTH;
        }
        self.best = Some(self.best.map_or(mean, |best| best.min(mean)));
        (self.sum, self.count) = (0.0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_grows_until_every_budget_is_met_and_rests_while_latency_falls() {
        let mut pressure = Pressure::new(1.0, vec![0.3, 0.7]);
        // A latency that answers only to pressure above 2, then 4.
        let mut met = Vec::new();
        let mut latency: f64 = 1.0;
        for step in 0..10_000 {
            if pressure.budget().is_none() {
                break;
            }
            let floor = if pressure.lambda < 2.0 {
                0.9
            } else if pressure.lambda < 4.0 {
                0.6
            } else {
                0.1
            };
            latency = latency.max(floor + 0.01) - 0.01_f64.min(latency - floor).max(0.0);
            let before = pressure.lambda;
            pressure.observe(latency);
            assert!(pressure.lambda >= before);
            while pressure.meets(latency) {
                met.push((step, pressure.lambda));
            }
        }
        assert_eq!(met.len(), 2, "{pressure:?}");
        assert!((2.0..2.3).contains(&met[0].1) && (4.0..4.5).contains(&met[1].1), "{met:?}");
    }

    #[test]
    fn one_latency_can_meet_several_budgets() {
        let mut pressure = Pressure::new(1.0, vec![0.5, 0.9, 0.7]);
        let mut met = 0;
        while pressure.meets(0.6) {
            met += 1;
        }
        assert_eq!((met, pressure.budget()), (2, Some(0.5)));
    }

    #[test]
    fn a_pressure_comes_back_from_its_checkpoint_at_every_step() {
        let mut pressure = Pressure::new(0.1, vec![0.9, 0.1]);
        for step in 0..50 {
            let text = serde_json::to_string(&pressure).unwrap();
            assert_eq!(serde_json::from_str::<Pressure>(&text).unwrap(), pressure, "{step}");
            let expected = 1.0 / (1.0 + f64::from(step) / 30.0);
            pressure.observe(expected);
            pressure.meets(expected);
        }
        assert!(pressure.budget().is_some() && pressure.lambda == 0.1);
    }
}
