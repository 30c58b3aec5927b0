//! The architecture search: which kind of attention each head and which activation each MLP gets,
//! for a latency on the user's network.

pub mod choose;
pub mod explore;
pub mod latency;
pub mod schedule;
pub mod space;
