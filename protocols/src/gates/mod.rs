//! One gate, one file: formula, spec, draws, dealing, running, simulating, tests.

mod bits;
pub mod coins;
pub mod compare;
pub mod exp;
pub mod form;
mod late;
pub mod linear;
pub mod local;
pub mod lookup;
pub mod matmul;
pub mod nonzero;
pub mod open;
pub mod product;
pub mod reveal;
pub mod row_digest;
pub mod row_lookup;
pub mod row_table;
pub mod slice;
pub mod square;
pub mod threshold;
pub mod truncate;
