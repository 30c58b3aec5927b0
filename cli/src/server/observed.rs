//! What the server tells of itself ([`crate::health`]).

use super::{Server, Supply};
use crate::health::Observed;

impl Observed for Server {
    fn ready(&self) -> Result<(), String> {
        match &self.supply {
            _ if self.stop.asked() => Err("it is being stopped".into()),
            Supply::Dealer(sessions) => sessions.ready(),
            // Batches are made with each client that comes.
            Supply::Peer(_) => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        let [ready, held] = match &self.supply {
            Supply::Dealer(sessions) => sessions.batches(),
            Supply::Peer(workplace) => workplace.made.batches(),
        };
        self.metrics.text(&[
            ("batches_ready", "Batches of correlations that wait", ready as u64),
            ("batches_held", "Batches that clients hold or evaluate with", held as u64),
        ])
    }
}
