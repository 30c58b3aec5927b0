//! Larger functions built out of gates.
