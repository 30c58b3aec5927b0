//! sotto-models
