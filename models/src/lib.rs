//! Models: what a vision transformer is ([`arch`]), its parameters ([`weights`]), its plaintext
//! float reference ([`float`]) and its inputs ([`images`]).

pub mod arch;
pub mod error;
pub mod float;
pub mod images;
pub mod weights;

pub use arch::Arch;
pub use error::Error;
pub use weights::Weights;
