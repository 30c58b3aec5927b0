//! The processes behind the `sotto` command: dealer, server, client, and what drives them.
//!
//! Only this crate (with `sotto-net`) touches sockets, files, clocks and the environment.

// One way to print: `print`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod agreement;
pub mod calibrate;
pub mod card;
pub mod check;
pub mod choices;
pub mod client;
pub mod config;
pub mod dealer;
pub mod dealer_link;
pub mod demo;
pub mod dumps;
pub mod emulate;
pub mod error;
pub mod examine;
mod files;
pub mod health;
pub mod import;
pub mod infer;
pub mod init;
pub mod inputs;
pub mod lexicon;
pub mod listen;
pub mod logs;
pub mod messages;
pub mod metrics;
pub mod model;
pub mod notify;
pub mod plan;
pub mod print;
pub mod processes;
pub mod reference;
pub mod refusal;
pub mod reload;
pub mod report;
pub mod samples;
mod secret;
pub mod server;
pub mod simulate;
pub mod source;
pub mod step;
pub mod stop;
pub mod texts;
pub mod trainer;
pub mod waiting;
pub mod workshop;

pub use error::Error;
