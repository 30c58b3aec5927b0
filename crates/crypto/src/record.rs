//! Which streams a piece of code opens: the tests' oracle for "every stream is read once".
//!
//! Only with the feature `record`, which no program turns on. It knows seeds by their fingerprints.

use std::cell::RefCell;

use crate::Seed;

/// A stream that was opened: its seed's fingerprint and its number.
pub type Opened = ([u8; 32], u64);

thread_local! {
    /// What this thread has opened since its innermost [`streams`] began.
    static RECORD: RefCell<Option<Vec<Opened>>> = const { RefCell::new(None) };
}

pub(crate) fn note(seed: &Seed, id: u64) {
    RECORD.with_borrow_mut(|record| {
        if let Some(record) = record {
            record.push((seed.fingerprint(), id));
        }
    });
}

/// Runs `work` and lists every stream that it opens on this thread, in order, repetitions included.
pub fn streams<T>(work: impl FnOnce() -> T) -> (T, Vec<Opened>) {
    let outer = RECORD.replace(Some(Vec::new()));
    let result = work();
    let record = RECORD.replace(outer).unwrap_or_default();
    (result, record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_listed_with_repetitions_and_only_inside() {
        let seed = Seed::from_bytes([1; 32]);
        seed.stream(1);
        let ((), seen) = streams(|| {
            seed.stream(2);
            seed.derive("child", 0).stream(2);
            seed.stream(2);
        });
        let name = seed.fingerprint();
        assert_eq!(seen, [(name, 2), (seed.derive("child", 0).fingerprint(), 2), (name, 2)]);
        assert!(streams(|| ()).1.is_empty());
    }
}
