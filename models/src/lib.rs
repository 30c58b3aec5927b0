//! Models: what a vision transformer is ([`arch`]), its parameters ([`weights`]), its plaintext
//! float reference ([`float`]), its inputs ([`images`]), the ranges of its tensors
//! ([`calibration`]), the number format that follows from them ([`mod@format`]), and its private form: the
//! traced plan ([`private`]) and the folded fixed-point weights ([`fold`]).

pub mod arch;
pub mod calibration;
pub mod error;
pub mod float;
pub mod fold;
pub mod format;
pub mod images;
pub mod private;
pub mod weights;

pub use arch::Arch;
pub use calibration::Calibration;
pub use error::Error;
pub use private::Private;
pub use weights::Weights;
