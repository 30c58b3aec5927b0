//! Larger functions built out of gates. They own no protocol: their security is that of the gates,
//! which only ever see shares and openings under fresh masks.

pub mod argmax;
pub mod attention;
pub mod maximum;
pub mod norm;
pub mod row_max;
