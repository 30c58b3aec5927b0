//! What no single crate can test: that transcripts are uniform, that hostile bytes and hostile peers are
//! only ever errors, that dependencies point down, and that whole models are exact.

mod accounting;
mod broken;
mod circles;
mod documents;
mod gate_plans;
mod golden;
mod hidden;
mod hostile_bytes;
mod hostile_cards;
mod hostile_files;
mod hostile_peer;
mod layers;
mod models;
mod packages;
mod random_plans;
mod sources;
mod statistics;
mod streams;
mod uniformity;
mod unread;
mod wiretap;
mod zoo;

/// Whoever makes a parser claim more than this, from any bytes, ends the test run: the honest tests stay
/// far below, and the largest honest claim is a picture's 384 MiB.
#[global_allocator]
static MEMORY: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, 3 << 29);
