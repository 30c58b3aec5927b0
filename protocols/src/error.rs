//! What can go wrong, by who must act.

/// Errors of the protocol layer. None carries secret data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection to a peer failed; the text names the peer and the step.
    #[error(transparent)]
    Link(#[from] sotto_link::Error),
    /// The two sides do not run the same thing.
    #[error("{peer} runs something else: {what}; {remedy}")]
    Desync {
        /// Which peer.
        peer: String,
        /// What differs.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// Correlated randomness does not fit the plan.
    #[error(
        "correlations of batch {batch} do not fit the plan: {what}; burn the batch and deal again"
    )]
    Correlation {
        /// Which batch.
        batch: u64,
        /// What is wrong.
        what: String,
    },
    /// Two parties alone cannot make the correlations of a gate.
    #[error(
        "the correlations of the gate `{0}` need a dealer; choose another option for this layer, or run with a dealer"
    )]
    DealerOnly(String),
    /// The input cannot be encoded.
    #[error("input refused: {0}")]
    Input(String),
    /// The operating system's entropy source failed.
    #[error(transparent)]
    Crypto(#[from] sotto_crypto::Error),
}
