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
        let [ready, held] = self.lanes.batches();
        self.metrics.text(&[
            ("batches_ready", "Batches of correlations that wait", ready as u64),
            ("batches_held", "Batches that clients hold or evaluate with", held as u64),
        ])
    }
}
