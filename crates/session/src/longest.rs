//! How long something may take in all, whatever its messages do: who answers each just in time would else hold what it uses for hours.

use std::time::Duration;

use sotto_protocols::plan::Plan;

/// Fewest bytes in a second that a link carries.
const THINNEST: u64 = 250_000;

/// Longest that a level takes, on the average.
const LEVEL: Duration = Duration::from_secs(1);

/// For so many bytes over a network that carries 250 kB/s, of a peer that may be silent for `deadline`.
pub fn carried(bytes: u64, deadline: Duration) -> Duration {
    4 * deadline + Duration::from_secs(bytes / THINNEST)
}

/// For one evaluation: what crosses, and a second for each level.
pub fn evaluation(plan: &Plan, deadline: Duration) -> Duration {
    let traffic = plan.online();
    let levels = u32::try_from(plan.levels.len()).unwrap_or(u32::MAX);
    carried(traffic.from_server + traffic.from_client, deadline) + LEVEL.saturating_mul(levels)
}
