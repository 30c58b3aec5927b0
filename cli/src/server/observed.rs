//! What the server tells of itself ([`crate::health`]).

use super::Server;
use crate::health::Observed;

impl Observed for Server {
    fn ready(&self) -> Result<(), String> {
        match self.stop.asked() {
            true => Err("it is being stopped".into()),
            false => self.lanes.ready(),
        }
    }

    fn metrics(&self) -> String {
        let all = self.lanes.batches();
        let of = |at: usize| {
            all.iter().map(|(model, batches)| (model.clone(), batches[at] as u64)).collect()
        };
        self.metrics.text(&[
            ("batches_ready", "Batches of correlations that wait", of(0)),
            ("batches_held", "Batches that clients hold or evaluate with", of(1)),
        ])
    }
}
