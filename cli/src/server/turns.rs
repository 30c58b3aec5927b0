//! Work that one thread does at a time, piece by piece.

use std::{
    iter,
    sync::{Mutex, PoisonError},
};

/// Whose turn it is. A piece is made in a turn; what is done with it, such as waiting for a slow peer, holds nobody up.
#[derive(Default)]
pub struct Turns(Mutex<()>);

impl Turns {
    /// The same pieces, each of which is made in a turn.
    pub fn each<'a, T>(
        &'a self,
        mut pieces: impl Iterator<Item = T> + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        iter::from_fn(move || {
            let _turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            pieces.next()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        thread,
    };

    use super::*;

    #[test]
    fn pieces_are_made_one_at_a_time_and_held_by_all() {
        let (turns, busy, most) = (Turns::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let piece = |i: usize| {
            most.fetch_max(busy.fetch_add(1, Relaxed) + 1, Relaxed);
            (0..100).for_each(|_| thread::yield_now());
            busy.fetch_sub(1, Relaxed);
            i
        };
        // Somebody who takes one and no more is in nobody's way.
        let mut stalled = turns.each((0..9).map(piece));
        assert_eq!(stalled.next(), Some(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(turns.each((0..50).map(piece)).eq(0..50)));
            }
        });
        assert_eq!(most.load(Relaxed), 1);
        assert!(stalled.eq(1..9));
    }
}
