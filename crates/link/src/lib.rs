//! What a party needs of a link to its peer; knows no sockets, no runtime and no tensors.
//!
//! A [`Link`] is a blocking, ordered pipe of step-named messages to one peer: [`Link::send`] never
//! waits for the peer and [`Link::recv`] never waits for ever. Every message carries its step and
//! its length, both are checked before anything is allocated for it, and a peer at another step is
//! an [`Error::Desync`] that names both steps.
//!
//! [`local_pair`] is a link inside one process; `sotto-net` has the one over QUIC. They are apart so that what runs
//! over links compiles where there are no sockets.

mod error;
mod link;
mod local;

pub use error::{CONNECTING, Due, Error, unnamed};
pub use link::{AHEAD, DEADLINE, Link, QUEUE_LIMIT, Traffic, cost};
pub use local::{LocalLink, local_pair};
