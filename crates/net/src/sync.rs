//! What the two sides of a link wait by. `tests/schedules` puts other types in this place, whose threads it switches itself.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicU64};
