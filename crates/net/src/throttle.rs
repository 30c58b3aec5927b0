//! Log lines that strangers can cause: the first at once, then one every few seconds.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of one kind.
const EVERY: Duration = Duration::from_secs(5);

/// Lets through few lines of one kind.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<(Option<Instant>, u64)>);

impl Throttle {
    /// Whether a line may be written now; if so, how many like it were left out since the last.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_with_counts() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        // One event each millisecond.
        let lines: Vec<_> = (0..12_000)
            .filter_map(|ms| throttle.pass_at(start + Duration::from_millis(ms)))
            .collect();
        assert_eq!(lines, [0, 4999, 4999]);
        assert_eq!(throttle.pass_at(start + Duration::from_secs(60)), Some(1999));
    }
}
