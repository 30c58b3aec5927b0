//! `sotto-nas` from outside: what it is called by, what it takes, what it refuses.

mod called;
mod data;
mod paper;
mod presets;
mod refusals;
