//! One target for each parser that reads from a peer or a file: whatever the bytes, it gives a value or an error, within a
//! bounded memory and time.
//!
//! Parsers that are private to a crate have their targets there: frames and streams in `crates/net/src/fuzz.rs`, pool and
//! usage files in `cli/src/server/fuzz.rs`.

mod cards;
mod configurations;
/// Folders of every family, as the importer's own tests write them.
#[allow(dead_code)]
#[path = "../../../crates/import/tests/import/hub.rs"]
mod hub;
mod imports;
mod input;
mod messages;
mod models;
mod pictures;
