//! The client of a private inference, without a command line.

pub mod config;
mod connection;

pub use connection::{Answer, Client, Costs, Found, Labelled, Query, Stream, Wanted, label, top};
