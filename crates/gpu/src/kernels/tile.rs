//! A product's loop over tiles, which [`product`](super::product) and [`embed`](super::embed) share.

use crate::kernel::Language;

/// Rows and columns of the result that a workgroup makes.
pub(super) const SIDE: usize = 64;

/// Invocations of a workgroup.
pub(super) const THREADS: usize = 256;

/// Its code.
pub(super) fn code(language: Language) -> &'static str {
    match language {
        Language::Wgsl => include_str!("tile.wgsl"),
        Language::Cuda => include_str!("tile.cu"),
    }
}
