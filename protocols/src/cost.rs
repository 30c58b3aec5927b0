//! What an evaluation of a plan costs, as planned and as measured.

use serde::Serialize;

use crate::plan::{Plan, Traffic};

/// Bytes of a party's seed, which the dealer sends with each batch.
pub const SEED_BYTES: u64 = 32;

/// Bytes and flights of one evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Masked weights, which stay for later evaluations; without a dealer, encrypted ones, keys and base transfers.
    pub setup_bytes: u64,
    /// Seeds and corrections from the dealer, both parties together; without one, what crosses between the two.
    pub offline_bytes: u64,
    /// Sequential message times between the two parties before the online phase: none with a dealer.
    pub offline_flights: u64,
    /// Online payload, both directions together.
    pub online_bytes: u64,
    /// Sequential message times, online.
    pub flights: u64,
}

impl Plan {
    /// What this plan predicts with a dealer; without one, [`crate::make::Recipe::cost`].
    pub fn cost(&self) -> Cost {
        let Traffic { from_server, from_client, flights } = self.online();
        Cost {
            setup_bytes: self.setup_bytes() as u64,
            offline_bytes: self.correction_bytes() as u64 + 2 * SEED_BYTES,
            offline_flights: 0,
            online_bytes: from_server + from_client,
            flights,
        }
    }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::Seed;

    use super::*;
    use crate::plan::{Trace, WeightSpec};

    #[test]
    fn everything_is_counted_once() {
        assert_eq!(Seed::from_bytes([0; 32]).expose().len() as u64, SEED_BYTES);
        let mut t = Trace::new();
        let x = t.input(&[5, 3], 20, 0);
        let spec = WeightSpec { name: "w".into(), outputs: 2, inputs: 3, width: 20, scale: 0 };
        let weight = t.weight(spec);
        let y = t.linear(x, weight, 1);
        let y = t.reveal(y, 20);
        let plan = t.finish(&[y]);
        // The matrix; a share of the product of 5 x 2 words; 5 x 3 words to the server, 5 x 2 to the client.
        let packed = |words: u64| (words * 20).div_ceil(8);
        let planned = Cost {
            setup_bytes: packed(6),
            offline_bytes: packed(10) + 64,
            offline_flights: 0,
            online_bytes: packed(15) + packed(10),
            flights: 2,
        };
        assert_eq!(plan.cost(), planned);
    }
}
