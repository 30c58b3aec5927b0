//! The kernels: each in one folder, with its formula, its shape, its definition in f64 and its code for each device.

pub mod attention;
pub mod embed;
pub mod linear_attention;
pub mod mean;
pub mod norm;
pub mod product;
mod tile;

pub use attention::Attention;
pub use embed::Embed;
pub use linear_attention::LinearAttention;
pub use mean::Mean;
pub use norm::Norm;
pub use product::Product;

#[cfg(test)]
mod tests;
