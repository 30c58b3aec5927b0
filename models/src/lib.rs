//! Models: what a transformer is ([`model`], and [`arch`] for MPCViT's), its parameters ([`weights`]), its layers with all
//! that reads them ([`layer`]): the plaintext float reference ([`float`]), the number format ([`mod@format`]) that follows
//! from the ranges of its tensors ([`calibration`]), and its private form, the traced plan and the folded fixed-point
//! matrices ([`private`]). Inputs are pictures ([`images`]) and words ([`text`]).
//!
//! # Example
//! A small transformer, private, in one process:
//! ```
//! use sotto_models::{Arch, Calibration, Private, Weights, private::Options};
//! use sotto_protocols::local::Local;
//!
//! let arch = Arch::vit(2, 4, 32, 48, 16, 4, 5);
//! let weights = Weights::random(&arch, 1);
//! let image = vec![0.5; arch.channels * arch.image * arch.image];
//! let calibration = Calibration::record(&arch, &weights, &[image.clone()], |_| ());
//! let private = Private::new(&arch, &calibration, 1, Options::default())?;
//!
//! let seed = sotto_crypto::Seed::from_bytes([1; 32]);
//! let local = Local::new(&private.plan, private.matrices(&weights), &seed)?;
//! let [_, client] = local.evaluate(local.deal(0), [&[], &private.encode(&[image])])?;
//! let logits = private.decode(&client.outputs[0]);
//! assert_eq!(logits[0].len(), 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod agreement;
pub mod arch;
pub mod calibration;
mod channels;
pub mod demo;
pub mod error;
pub mod files;
mod fixed;
pub mod float;
pub mod format;
mod heads;
pub mod images;
mod keys;
mod kind;
pub mod layer;
mod layout;
pub mod length;
mod matrix;
pub mod model;
mod options;
pub mod owner;
pub mod private;
pub mod probe;
mod range;
mod rows;
pub mod text;
mod told;
pub mod weights;

pub use arch::Arch;
pub use calibration::Calibration;
pub use error::Error;
pub use model::Model;
pub use private::Private;
pub use weights::Weights;
