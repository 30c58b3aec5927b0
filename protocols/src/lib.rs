//! Plan, gates, dealer, parties and simulator of sottovoce.
//!
//! A model is traced once into a [`plan::Plan`]: a static list of gates. The dealer, both
//! parties, the integer-exact simulator and every cost report read that list. Each gate is one
//! file in [`gates`]; [`compose`] builds larger functions (softmax, layer norm, attention) out of
//! gates and owns no protocol of its own.
//!
//! The files have an order in which each knows only those before it (a test holds it): what is described ([`spec`],
//! draws, exchanges, matrices), what a gate sees at the dealer, at a party and in the clear, the contract of a
//! [`gate`], the [`plan`], those who walk it ([`deal`], [`batch`], [`party`], [`simulate`], [`weights`]), the gates,
//! their compositions.
//!
//! # Example
//! A plan of two gates, dealt and evaluated in one process; over a network each party has a
//! [`party::Party`] and a link of its own.
//! ```
//! use sotto_crypto::Seed;
//! use sotto_protocols::{local::Local, plan::Trace};
//!
//! // max(x, 0) of three numbers of 16 bits, of which the client learns 16 bits each.
//! let mut trace = Trace::new();
//! let x = trace.input(&[3], 16, 0);
//! let opened = trace.open_signed(x, 16);
//! let y = trace.relu(opened, 16);
//! let y = trace.reveal(y, 16);
//! let plan = trace.finish(&[y]);
//!
//! // The server has no matrices here; all randomness follows from one seed.
//! let local = Local::new(&plan, vec![], &Seed::random()?)?;
//! let dealt = local.deal(0);
//! let [_, client] = local.evaluate(dealt, [&[], &[vec![5, -7, 1000]]])?;
//! assert_eq!(client.outputs, [[5, 0, 1000]]);
//! assert_eq!(client.traffic, plan.online());
//! # Ok::<(), sotto_protocols::Error>(())
//! ```
//!
//! # Security model
//! Two semi-honest parties and a dealer that colludes with neither. Every opened value is masked by
//! a word that is uniform over exactly the opened width and used once; every dealt value is an
//! additive or XOR share of which each party sees a uniform half. Truncation is local and sends
//! nothing; its rounding coin depends on one party's share (the functionality "stochastic
//! rounding with a coin known to one party", PROTOCOLS 7.1).

pub mod batch;
pub mod compose;
pub mod cost;
pub mod deal;
mod dealing;
mod draw;
pub mod drawn;
pub mod encode;
pub mod error;
mod exchange;
pub mod functions;
pub mod gate;
pub mod gates;
pub mod local;
pub mod make;
pub mod making;
mod matrices;
pub mod observer;
pub mod party;
pub mod plan;
mod run;
pub mod seeds;
pub mod simulate;
mod simulation;
mod source;
pub mod spec;
pub mod testing;
pub mod weights;

pub use error::Error;
pub use spec::{Role, Spec, Wire};
