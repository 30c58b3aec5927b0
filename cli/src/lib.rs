//! The processes behind the `sotto` command: dealer, server, client, and what drives them.
//!
//! Only this crate (with `sotto-net`) touches sockets, files, clocks and the environment.

// One way to print: `print`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod calibrate;
pub mod check;
pub mod choices;
pub mod config;
pub mod dealer;
pub mod demo;
pub mod dumps;
pub mod emulate;
pub mod ending;
pub mod examine;
pub mod health;
pub mod import;
pub mod infer;
pub mod init;
pub mod inputs;
pub mod keys;
pub mod listen;
pub mod logs;
pub mod machine;
pub mod metrics;
pub mod model;
pub mod notify;
pub mod plan;
pub mod print;
pub mod processes;
pub mod progress;
pub mod reference;
pub mod reload;
pub mod report;
pub mod samples;
pub mod server;
pub mod simulate;
pub mod stop;
pub mod texts;
pub mod trainer;
pub mod words;

pub use sotto_client as client;
pub use sotto_session::{
    Error, card, dealer_link, error, lexicon, messages, refusal, source, waiting, workshop,
};
use sotto_session::{files, longest};
