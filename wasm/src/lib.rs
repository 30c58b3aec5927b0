//! A client party as a WebAssembly module that imports nothing: whoever holds it carries the bytes.
//!
//! The proof that a party has no sockets, clocks, files and entropy: for `wasm32-unknown-unknown` it compiles to a module
//! without a single import. `wasm/party.mjs` runs it in Node against the recorded messages of a server.

mod client;
mod exports;
pub mod parts;

pub use client::{Client, Turn};
