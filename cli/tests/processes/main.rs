//! Server, client and dealer as processes of the operating system, over real QUIC on loopback: what they do
//! together, and what each does when another fails.

mod audit;
mod calibration;
mod copies;
mod crowded;
mod disks;
mod documents;
mod emulated;
mod end_to_end;
mod faults;
mod hidden;
mod hostile;
mod kept;
mod killed;
mod lexicons;
mod library;
mod limits;
mod memory;
mod models;
mod numbered;
mod operations;
mod parties;
mod peer;
mod pictures;
mod pools;
mod printed;
mod refusals;
mod reloads;
mod replaced;
mod restarts;
mod roles;
mod spawned;
mod stopped;
mod stored;
mod texts;
