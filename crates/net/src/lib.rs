//! sotto-net
