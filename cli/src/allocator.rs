//! How long the allocator keeps what was freed.

#![allow(unsafe_code)]

use std::ffi::c_int;

/// `mi_option_purge_delay` of mimalloc 3, which the bindings do not name.
const PURGE_DELAY: c_int = 15;

/// Milliseconds. Evaluations free and ask for the same memory again and again. After mimalloc's own second most of a
/// large model's batch comes as fresh pages each time: a seventh of all processor time.
const KEPT: i64 = 10_000;

/// Has freed memory given back to the system after ten seconds. To be called first in a process, while it has one thread.
pub fn keep_freed() {
    // SAFETY: the function writes a number into mimalloc's table, whose bounds it checks; no other thread reads it yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEPT as _) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_delay() {
        // SAFETY: it reads a number of mimalloc's table, whose bounds it checks.
        let get = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 1000, "mimalloc's own, which no other option has");
        keep_freed();
        assert_eq!(get(), 10_000);
    }
}
