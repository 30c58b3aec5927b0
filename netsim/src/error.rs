//! What can go wrong here; all of it is for the user to mend.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network, a quantity or a machine profile that is not usable; says what is accepted.
    #[error("{0}")]
    Input(String),
    /// A file or socket failed.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        error: std::io::Error,
    },
}
