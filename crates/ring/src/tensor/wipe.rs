//! Overwriting secrets.
#![allow(unsafe_code)]

use std::sync::atomic::{Ordering, compiler_fence};

/// Writes zeros that the compiler may not drop although nothing reads them.
pub(super) fn wipe(words: &mut [u64]) {
    for word in words {
        // SAFETY: `word` is a valid, aligned, exclusively borrowed u64.
        unsafe { std::ptr::write_volatile(word, 0) };
    }
    compiler_fence(Ordering::SeqCst);
}
