//! The kernels: each in one folder, with its formula, its shape, its definition in f64 and its code for each device.
//!
//! Attention of a model's kinds is [`Attention`] and [`LinearAttention`]. The others are plaintext alone, to be measured beside
//! those: none has a private form here.
//!
//! | kernel | a row's result | source |
//! |--|--|--|
//! | [`ClippedSoftmax`] | softmax's weights, stretched and clipped to 0..1 | Quantizable Transformers |
//! | [`GatedAttention`] | attention of any kind, times a sigmoid | Quantizable Transformers |
//! | [`InlineAttention`] | linear attention whose weights sum to 1 | InLine |
//! | [`Mala`] | the same with positive features, sharper for longer queries | MALA |
//! | [`Gaussian`] | values weighed by `exp(-distance^2)` | SOFT |
//! | [`Lssa`] | values weighed by softplus of cosines | LSSA |
//! | [`Decode`] | one query over many keys, in equal parts | LeanAttention |
//! | [`IntegerAttention`] | softmax by shifts, in whole numbers | I-ViT |

pub mod attention;
pub mod clipped_softmax;
pub mod decode;
pub mod embed;
pub mod gated_attention;
pub mod gaussian;
pub mod heads;
pub mod inline_attention;
pub mod integer_attention;
pub mod linear_attention;
pub mod lssa;
pub mod mala;
pub mod mean;
mod means;
pub mod norm;
pub mod product;
mod sweep;
mod tile;

pub use attention::Attention;
pub use clipped_softmax::ClippedSoftmax;
pub use decode::Decode;
pub use embed::Embed;
pub use gated_attention::GatedAttention;
pub use gaussian::Gaussian;
pub use heads::Heads;
pub use inline_attention::InlineAttention;
pub use integer_attention::IntegerAttention;
pub use linear_attention::LinearAttention;
pub use lssa::Lssa;
pub use mala::Mala;
pub use mean::Mean;
pub use norm::Norm;
pub use product::Product;

#[cfg(test)]
mod tests;
