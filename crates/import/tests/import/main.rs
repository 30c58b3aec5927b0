//! Folders of Hugging Face, written by the tests and imported: what the models compute, and what is refused.

mod bombs;
mod families;
mod hostile;
mod hub;
mod numbered;
mod real;
mod refusals;
mod shards;
mod texts;
