//! Work for several threads that take pieces in turn.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `work` for 0..n on so many workers; results in order. A core that somebody else uses delays nobody.
pub(crate) fn each<T: Send>(workers: usize, n: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<T>>> = Mutex::new((0..n).map(|_| None).collect());
    let work_off = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n {
                return;
            }
            let result = work(i);
            results.lock().expect("a worker that panics ends the program")[i] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.min(n) {
            scope.spawn(work_off);
        }
        work_off();
    });
    let results = results.into_inner().expect("all workers have ended well");
    results.into_iter().map(|r| r.expect("every index was taken by a worker")).collect()
}
