//! The client of a private inference: a server evaluates its model on your pictures and texts, and sees neither these nor the
//! result. The command line `sotto` is built on this crate; so can your program be.
//!
//! ```no_run
//! use std::{fs, path::Path};
//!
//! use sotto_client::{Client, Config, Found};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::load(Path::new("client.toml"))?;
//! let mut client = Client::connect(config, None)?;
//! let picture = client.picture("cat", &fs::read("cat.png")?)?;
//! for answer in client.answer(&[picture])? {
//!     let costs = &answer.costs;
//!     println!("{} flights in {} s", costs.flights, costs.online_s);
//!     match &answer.found {
//!         Found::Class { class_name, .. } => println!("{class_name}"),
//!         Found::Words { words } => println!("{} words, each with its class", words.len()),
//!         Found::Embedding { embedding } => println!("{} numbers", embedding.len()),
//!     }
//! }
//! client.leave();
//! # Ok(())
//! # }
//! ```
//!
//! A configuration need not be a file: keys, certificates and addresses may come from wherever you keep them. `stop` is for
//! another thread, at any time; what runs fails then, and its batch is burnt.
//!
//! ```
//! use sotto_client::{Client, Config, Error, Identity, Peer};
//!
//! # fn main() -> Result<(), Error> {
//! let [client, server] = [Identity::generate("client")?, Identity::generate("server")?];
//! let server = Peer::new("server", server.certificate().clone(), "localhost:7000");
//! let mut config = Config::new(client, server, None);
//! config.pool = 4;
//! let stop = config.stop.clone();
//! std::thread::spawn(move || stop.ask());
//! // Nobody listens there.
//! let stopped = Client::connect(config, None).err();
//! assert!(matches!(stopped, Some(Error::Stopped)));
//! # Ok(())
//! # }
//! ```
//!
//! Calls block until they are done, as the protocol does; give a client a thread of its own. [`Client::wait_until_ready`] does
//! all that can be done before there is an input. What is waited for is told by `tracing`, whichever subscriber you have. With a
//! global allocator that keeps large blocks, such as mimalloc, evaluations take a third less time.

mod answer;
mod client;
pub mod config;
mod connection;

pub use answer::{Answer, Costs, Found, Labelled, Query, label, top};
pub use client::Client;
pub use config::Config;
pub use connection::Connection;
pub use sotto_models::{
    images::Picture,
    length::Length,
    private::{Lengths, Reveal},
};
pub use sotto_net::{Certificate, Identity, Profile};
pub use sotto_session::{Error, config::Peer, lexicon::Lexicon, refusal::Refusal, stop::Stop};
