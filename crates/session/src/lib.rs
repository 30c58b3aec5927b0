//! What client, server and dealer say to each other, and what they have in common: configuration, errors, links to the dealer,
//! batches that two parties make.

pub mod card;
pub mod config;
pub mod dealer_link;
pub mod error;
pub mod files;
pub mod folder;
pub mod keeping;
pub mod lexicon;
pub mod longest;
pub mod messages;
pub mod refusal;
mod secret;
pub mod shelf;
pub mod source;
pub mod step;
pub mod stop;
pub mod waiting;
pub mod workshop;

pub use error::Error;
