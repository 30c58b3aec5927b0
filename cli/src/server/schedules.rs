//! The pool's files a second time, with their tests, on the locks of `shuttle`: it runs one thread at a time, and switches at
//! every lock and wait in many orders. Its waits have no deadline, so that a wake-up that is lost is a deadlock; the order
//! that shows it is printed.

use super::{room, store, trust};

#[expect(clippy::duplicate_mod, reason = "on other locks")]
#[expect(dead_code, reason = "what the server asks a pool, and its tests do not")]
#[path = "pool/mod.rs"]
mod pool;

mod sync {
    pub use shuttle::{
        sync::{Condvar, Mutex, MutexGuard},
        thread,
    };

    pub const REAL: bool = false;

    pub fn explored(test: impl Fn() + Send + Sync + 'static) {
        shuttle::check_random(test, 300);
    }
}
