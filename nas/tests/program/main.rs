//! `sotto-nas` from outside: what it is called by, what it takes, what it refuses.

mod called;
mod data;
mod presets;
mod refusals;
