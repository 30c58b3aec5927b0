//! The kernels: each in one folder, with its formula, its shape, its definition in f64 and its code for each device.

pub mod attention;
pub mod embed;
pub mod linear_attention;
pub mod mean;
pub mod norm;
pub mod product;

use crate::kernel::Language;

pub use attention::Attention;
pub use embed::Embed;
pub use linear_attention::LinearAttention;
pub use mean::Mean;
pub use norm::Norm;
pub use product::Product;

/// A product's loop over tiles, which [`product`] and [`embed`] share.
fn tile(language: Language) -> &'static str {
    match language {
        Language::Wgsl => include_str!("kernels/tile.wgsl"),
        Language::Cuda => include_str!("kernels/tile.cu"),
    }
}

/// Rows and columns of the result that a workgroup of [`tile`] makes.
const TILE_SIDE: usize = 64;

/// Its invocations.
const TILE_THREADS: usize = 256;

#[cfg(test)]
pub(crate) mod tests;
