//! A backlog on real threads; under schedules it is in `tests/schedules`.

use std::thread;
use std::time::{Duration, Instant};

use crate::backlog::{Backlog, Full};

#[test]
fn an_end_comes_whatever_moves() {
    let backlog = Backlog::default();
    assert!(backlog.add(u64::MAX / 2, u64::MAX).is_ok());
    let patience = Duration::from_secs(20);
    let wait = |end| backlog.wait(0, patience, end, || Ok::<(), ()>(()));
    thread::scope(|scope| {
        // Byte after byte goes out for as long as somebody waits.
        let moving = scope.spawn(|| {
            while !backlog.is_watched() {
                thread::yield_now();
            }
            while backlog.is_watched() {
                backlog.release(1);
            }
        });
        let ended = wait(Some(Instant::now() + Duration::from_millis(50)));
        assert!(matches!(ended, Err(Full::Stuck(_))));
        moving.join().unwrap();
    });
    assert!(matches!(wait(Some(Instant::now())), Err(Full::Stuck(_))));
    backlog.release(u64::MAX / 2);
    assert!(wait(Some(Instant::now())).is_ok(), "nothing has to be waited for");
}
