//! Correlations of matrices by lattice encryption: additive shares of products of two parties' matrices, mod `2^w`.
//!
//! Three families, a file each. [`Layer`]: the client's mask times the server's weights, which are encrypted once per model.
//! [`Triple`]: products of two shared matrices. [`Rows`]: rows times scalars, and inner products. Each family has a shape
//! that both parties know, lengths that follow from it, and functions from bytes to bytes: no sockets, no clock, and all
//! randomness from seeds that are given, each of which must serve one call.
//!
//! The scheme is plain RLWE (`key.rs` has the parameters and what they are worth): `N = 4096`, `q` of two 39-bit primes, one
//! special prime for key switching. Messages mod `2^w` are encoded at the top of `q`; the party with the key sends
//! encryptions, the other multiplies them with its plaintexts, packs (`switch.rs`) and answers (`respond.rs`). Nothing is flooded:
//! `respond.rs` says why, and [`noise`] how far the shares are off for it.
//!
//! Security: both parties follow the protocol (semi-honest). A deviating one can make results wrong; nobody checks that
//! a ciphertext holds what it should, nor that its noise is within bounds, and what then goes wrong later can depend on the
//! other's secrets. No branch and no address depends on a secret; keys, errors and masks are wiped. Bytes of a peer
//! are checked before anything is made of them: lengths first, then each residue against its prime.
//!
//! Source: design study "Correlations without a dealer", section 5; Cheetah (USENIX Security 2022), BumbleBee (NDSS 2025),
//! Nimbus (NeurIPS 2024). Deviations: the evaluator is who holds the masks, and shares are rounded instead of exact.

mod answer;
mod cipher;
mod error;
#[cfg(test)]
mod fuzz;
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
