//! sotto-ring
