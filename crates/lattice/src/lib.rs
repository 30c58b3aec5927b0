//! Correlations of matrices by lattice encryption.

mod answer;
mod cipher;
mod error;
mod key;
mod layer;
pub mod noise;
mod price;
mod products;
mod respond;
mod ring;
mod rows;
mod sample;
mod switch;
#[cfg(test)]
mod testing;
mod triple;
mod wire;

pub use answer::Answer;
pub use cipher::{Ciphers, ciphers_len};
pub use error::Error;
pub use key::{PUBLIC_BYTES, PublicKeys, SecretKey};
pub use layer::Layer;
pub use ring::N;
pub use rows::Rows;
pub use triple::{Sizes, Triple};
