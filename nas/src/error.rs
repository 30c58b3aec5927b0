//! The crate's one error type: every variant says what the caller can do about it.

use std::path::PathBuf;

/// What can go wrong between a data file, an architecture, a checkpoint and the disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The path that was asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data set is not what its format says.
    #[error("data set: {0}")]
    Data(String),
    /// The architecture cannot be built.
    #[error("architecture: {0}")]
    Arch(String),
    /// The checkpoint is damaged or belongs to another run.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// The device that judges architectures.
    #[error("judging architectures: {0}")]
    Device(#[from] sotto_gpu::Error),
    /// A private evaluation failed.
    #[error("{0}")]
    Private(String),
    /// The command line asks for something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// A slice of time is over; everything is on the disk.
    #[error("stopped for now after step {step} of {total}; --resume goes on")]
    Paused {
        /// Steps done.
        step: usize,
        /// Steps of the job.
        total: usize,
    },
    /// The loss stopped being a number.
    #[error(
        "training diverged at step {step}: loss is {loss}; lower --lr and resume from an earlier checkpoint"
    )]
    Diverged {
        /// The step whose loss was not finite.
        step: usize,
        /// The loss.
        loss: f32,
    },
}

impl Error {
    /// The process's exit code, as `sotto` has them: 2 usage or files, 3 input (data, models), 1 what failed on the
    /// way; a slice that is over is what was asked for.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Paused { .. } => 0,
            Self::Private(_) | Self::Device(_) | Self::Diverged { .. } => 1,
            Self::Usage(_) | Self::File { .. } => 2,
            Self::Data(_) | Self::Arch(_) | Self::Checkpoint(_) => 3,
        }
    }

    /// What `sotto-models` said about a file of a data set.
    pub(crate) fn from_data(error: sotto_models::Error) -> Self {
        match error {
            sotto_models::Error::Io { path, source } => Self::File { path, source },
            other => Self::Data(other.to_string()),
        }
    }

    /// Wraps an I/O error with the path it is about.
    pub fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}
