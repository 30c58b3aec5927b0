//! sotto-crypto
