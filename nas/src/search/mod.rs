//! The architecture search: which kind of attention each head and which activation each MLP gets,
//! for a latency on the user's network.

pub mod baselines;
pub mod choose;
pub mod correction;
pub mod driver;
pub mod explore;
pub mod judge;
pub mod latency;
pub mod manifest;
pub mod measure;
pub mod page;
pub mod polish;
pub mod schedule;
pub mod settings;
pub mod simulator;
pub mod space;
pub mod summary;
pub mod trained;
